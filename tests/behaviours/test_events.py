"""What listeners are told of writes: S-A27, S-A42, S-A84."""

from __future__ import annotations

from random import Random
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import HELD, counts, storage_of

_FRIENDS = iq.Relation(
    name="Friendship",
    source="Person",
    source_property="friends",
    target="Person",
    target_property="friends",
    type="n:n",
    properties=[iq.Property("level", int)],
)
Rows: TypeAlias = dict[tuple[str, Any], dict[str, Any]]


@behaviour("S-A27")
def test_updates_tell_what_has_changed(storage: iq.Storage) -> None:
    storage.create("Person", {"name": "a", "age": 1, "desk": {}})
    found: list[iq.MutationEvent] = []
    storage.listen(lambda _, events: found.extend(events))
    storage.update("Person", {"id": 1}, {"name": "b"})
    (event,) = found
    assert (event.type, event.record_name) == ("update", "Person")
    assert event.keys == frozenset({"name", "label"})
    assert event.old_record is not None
    assert (event.old_record["name"], event.old_record["label"], event.old_record["age"]) == ("a", "<a>", 1)
    assert (event.record["name"], event.record["label"], event.record["age"]) == ("b", "<b>", 1)
    found.clear()
    storage.update("Person", {"id": 1}, {"teams": [{"name": "x"}]})
    assert [(event.type, event.record_name) for event in found] == [("create", "Team"), ("create", "Membership")]
    found.clear()
    storage.update("Person", {"id": 1}, {"name": "b", "desk": {"id": 1}})
    assert found == []


@behaviour("S-A84")
def test_an_error_of_a_listener_undoes_the_write(storage: iq.Storage) -> None:
    def refuse(inner: iq.Storage, events: tuple[iq.MutationEvent, ...]) -> None:
        assert len(inner.find("Person")) == 2  # in the same transaction
        raise LookupError

    storage.create("Person", {"name": "a"})
    handle = storage.listen(refuse)
    with pytest.raises(LookupError):
        storage.create("Person", {"name": "b", "teams": [{"name": "x"}]})
    handle.remove()
    assert counts(storage) == {"Person": 1}


@behaviour("S-A42")
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_events_tell_all_that_happened_and_nothing_else(engine: Engine, seed: int) -> None:
    storage = storage_of(engine, relations=[_FRIENDS])
    told: list[iq.MutationEvent] = []
    storage.listen(lambda _, events: told.extend(events))
    random = Random(seed)
    before = _rows(storage)
    for _ in range(500):
        told.clear()
        try:
            _write(storage, random)
        except iq.FrameworkError:
            assert told == []
        after = _rows(storage)
        _compare(before, after, told, reuses_ids=engine.dialect.name == "sqlite")
        before = after


def _write(storage: iq.Storage, random: Random) -> None:
    def some(record: str) -> Any:
        found = [row["id"] for row in storage.find(record)]
        return {"id": random.choice(found)} if found and random.random() < 0.7 else {}

    def data(depth: int = 0) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "name": random.choice("abc"),
            "age": random.choice([None, 1, 2]),
            "boss": random.choice([None, some("Person")]),
            "desk": random.choice([None, some("Desk")]),
            "profile": random.choice([None, some("Profile") | {"&": {"viewed": random.randrange(3)}}]),
            "wallet": {"amount": random.randrange(3)},
            "teams": [some("Team") | {"&": {"role": random.choice("rs")}}],
            "documents": [some("Document"), {}][: random.randrange(3)],
            "powers": [{"name": "p", "charges": [{"level": 1}]}],
            "department": some("Department"),
            "likes": [some("Person")],
            "friends": [some("Person") | {"&": {"level": random.randrange(3)}}, some("Person")],
        }
        chosen = random.sample(sorted(parts), random.randrange(1, 5))
        found = {name: parts[name] for name in chosen}
        if depth == 0 and random.random() < 0.3:
            found["staff"] = [data(1)]
        return found

    match = {"id": random.randrange(1, 20)}
    kind = random.random()
    if kind < 0.4:
        storage.create("Person", data())
    elif kind < 0.7:
        storage.update("Person", match, data())
    elif kind < 0.8:
        storage.delete(random.choice(["Person", "Desk", "Team", "Power", "Document", "Department"]), match)
    elif kind < 0.9:
        relation = random.choice([*HELD, "Membership", "Person_likes_liked_by_Person", "Friendship", "Portrait"])
        storage.add_relation(relation, random.randrange(1, 10), random.randrange(1, 10))
    else:
        storage.remove_relation(
            random.choice(["Membership", "Friendship", *HELD]), {"source.id": random.randrange(1, 20)}
        )


def _rows(storage: iq.Storage) -> Rows:
    names = [info.name for info in storage.schema.records]
    rows: Rows = {(name, row["id"]): row for name in names for row in storage.find(name, attribute_query=["*"])}
    for relation in HELD:
        rows |= {(relation, _key(link)): link for link in storage.find_relation(relation)}
    return rows


def _key(record: Any) -> Any:
    """Return the id of a record; a link that a foreign key holds is known by its ends."""
    return record["id"] if "id" in record else (record["source"]["id"], record["target"]["id"])


def _compare(before: Rows, after: Rows, told: list[iq.MutationEvent], *, reuses_ids: bool) -> None:
    rows = {key: dict(row) for key, row in before.items()}
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed <= {(event.record_name, _key(event.record)) for event in told}
    seen: dict[tuple[str, Any], list[str]] = {}
    for event in told:
        key = (event.record_name, _key(event.record))
        seen.setdefault(key, []).append(event.type)
        if event.type == "create":
            assert key not in rows
        else:
            assert rows[key] == dict(event.old_record or event.record)
        if event.type == "delete":
            del rows[key]
        else:
            rows[key] = dict(event.record)
    assert rows == after
    for key, kinds in seen.items():
        assert kinds.count("create") - kinds.count("delete") == (key in after) - (key in before)
        assert reuses_ids or kinds.count("create") == (key not in before)
