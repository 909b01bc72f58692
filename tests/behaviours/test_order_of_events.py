"""The order in which events are told: S-A42."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import storage_of

_TREE: dict[str, Any] = {
    "name": "a",
    "boss": {"name": "b", "department": {"name": "d"}},
    "staff": [{"name": "c", "desk": {"number": 1}}],
    "desk": {"number": 2},
    "documents": [{"title": "t", "&": {"viewed": 1}}],
    "profile": {"title": "p"},
    "teams": [{"name": "x", "&": {"role": "r"}}, {"name": "y"}],
    "wallet": {"amount": 1},
    "powers": [{"name": "f", "charges": [{"level": 1}, {"level": 2}]}],
    "department": {"name": "e", "parent": {"name": "g", "children": [{"name": "h"}]}},
    "likes": [{"name": "l"}],
}
_WRITES: list[Any] = [
    lambda s: s.create("Person", _TREE),
    lambda s: s.create("Department", {"name": "r", "children": [{"name": "s", "children": [{"name": "t"}]}]}),
    lambda s: s.update("Person", {"name": "a"}, {"teams": [{"name": "z"}], "boss": {"name": "n"}, "desk": {}}),
    lambda s: s.update("Person", {"name": "a"}, {"department": {"name": "q"}, "staff": [{"name": "m"}]}),
    lambda s: s.delete("Power", {"name": "f"}),
    lambda s: s.delete("Department", lambda cls: cls.id > 0),
    lambda s: s.delete("Person", lambda cls: cls.id > 0),
]


@behaviour("S-A42")
def test_records_come_before_links_and_go_after_them(engine: Engine) -> None:
    storage = storage_of(engine)
    batches: list[list[iq.MutationEvent]] = []
    storage.listen(lambda _, events: batches.append(list(events)))
    for write in _WRITES:
        write(storage)
    assert len(batches) == len(_WRITES)
    compared = 0
    for events in batches:
        places = {(event.type, event.record_name, _key(event.record)): n for n, event in enumerate(events)}
        for event in events:
            for end in _ends(storage, event):
                here = places[event.type, event.record_name, _key(event.record)]
                there = places.get((event.type, *end))
                if there is not None and event.type == "create":
                    assert there < here, (event, end)
                if there is not None and event.type == "delete":
                    assert here < there, (event, end)
                compared += there is not None
    assert compared > 40


def _key(record: Any) -> Any:
    return record["id"] if "id" in record else (record["source"]["id"], record["target"]["id"])


def _ends(storage: iq.Storage, event: iq.MutationEvent) -> list[tuple[str, Any]]:
    """Return the records that an event's record refers to."""
    record = event.record
    if "id" not in record:
        source, target = event.record_name.split("_")[0], event.record_name.split("_")[-1]
        return [(source, record["source"]["id"]), (target, record["target"]["id"])]
    mapper: Any = storage.mapper(event.record_name)
    found: list[tuple[str, Any]] = []
    for relationship in mapper.relationships:
        if relationship.direction.name == "MANYTOONE" and relationship.secondary is None:
            ((local, _),) = relationship.local_remote_pairs
            if (key := record.get(mapper.get_property_by_column(local).key)) is not None:
                found.append((relationship.mapper.class_.__name__, key))
    # a row may come before the one that it refers to where both are of one record; its link does not
    return [end for end in found if end[0] != event.record_name or event.type == "delete"]


@pytest.mark.parametrize("kind", ["create", "delete"])
@behaviour("S-A42")
def test_an_update_stands_between_the_links_that_go_and_come(storage: iq.Storage, kind: str) -> None:
    storage.create("Person", {"name": "a", "boss": {"name": "b"}})
    told: list[str] = []
    storage.listen(lambda _, events: told.extend(f"{event.type} {event.record_name}" for event in events))
    boss = None if kind == "delete" else {"name": "c"}
    storage.update("Person", {"name": "a"}, {"boss": boss})
    link = "Person_boss_staff_Person"
    came = [] if kind == "delete" else [f"create {link}"]
    made = [] if kind == "delete" else ["create Person"]
    assert told == [*made, f"delete {link}", "update Person", *came]
