"""Targets that exist only with their source, related by links with values: S-A36."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import counts

_ENTITIES = [
    iq.Entity("Owner", [iq.Property("name", str)]),
    iq.Entity("Thing", [iq.Property("name", str)]),
    iq.Entity("Part", [iq.Property("name", str)]),
]


def _storage(engine: Engine, kind: Any) -> iq.Storage:
    relations = [
        iq.Relation(
            name="Owning",
            source="Owner",
            source_property="things" if kind == "1:n" else "thing",
            target="Thing",
            target_property="owner",
            type=kind,
            is_target_reliance=True,
            properties=[iq.Property("since", int, default=2000)],
        ),
        iq.Relation(
            source="Thing",
            source_property="parts",
            target="Part",
            target_property="thing",
            type="1:n",
            is_target_reliance=True,
        ),
    ]
    controller = iq.Controller(iq.System(engine), entities=_ENTITIES, relations=relations)
    controller.setup(install=True)
    storage = controller.system.storage
    for name in "ab":
        thing = {"name": f"{name}1", "parts": [{"name": "p"}], "&": {"since": 1}}
        storage.create("Owner", {"name": name, **({"things": [thing]} if kind == "1:n" else {"thing": thing})})
    return storage


def _owners(storage: iq.Storage) -> dict[str, Any]:
    found = storage.find("Thing", attribute_query=["name", "owner.name"])
    return {row["name"]: row["owner"] and row["owner"]["name"] for row in found}


@behaviour("S-A36")
@pytest.mark.parametrize("kind", ["1:1", "1:n"])
def test_targets_go_with_their_source(engine: Engine, kind: str) -> None:
    storage = _storage(engine, kind)
    told: list[tuple[str, str]] = []
    storage.listen(lambda _, events: told.extend((e.type, e.record_name) for e in events if "id" in e.record))
    storage.delete("Owner", {"name": "a"})
    assert _owners(storage) == {"b1": "b"}
    assert sorted(told) == [("delete", name) for name in ("Owner", "Owning", "Part", "Thing")]
    storage.delete("Thing", {"name": "b1"})
    assert counts(storage) == {"Owner": 1}


@behaviour("S-A36")
@pytest.mark.parametrize("kind", ["1:1", "1:n"])
def test_targets_are_never_left_alone(engine: Engine, kind: str) -> None:
    storage = _storage(engine, kind)
    name = "things" if kind == "1:n" else "thing"
    calls: list[Any] = [
        lambda: storage.update("Owner", {"name": "a"}, {name: None}),
        lambda: storage.update("Thing", {"name": "a1"}, {"owner": None}),
        lambda: storage.remove_relation("Owning", {"source.name": "a"}),
        lambda: storage.delete("Owning", {"source.name": "a"}),
        lambda: storage.update("Owner", {"name": "a"}, {name: [{"name": "n"}] if kind == "1:n" else {"name": "n"}}),
    ]
    if kind == "1:1":
        calls += [
            lambda: storage.add_relation("Owning", 1, 2),
            lambda: storage.update("Thing", {"name": "b1"}, {"owner": {"id": 1}}),
            lambda: storage.update("Owner", {"name": "a"}, {"thing": {"id": 2}}),
        ]
    for call in calls:
        with pytest.raises(iq.DefinitionFault, match="exists only with its owner"):
            call()
    assert _owners(storage) == {"a1": "a", "b1": "b"}
    assert counts(storage) == {"Owner": 2, "Owning": 2, "Thing": 2, "Part": 2}


@behaviour("S-A36", "S-A31")
@pytest.mark.parametrize(
    "move",
    [
        lambda s: s.add_relation("Owning", 2, 1, {"since": 7}),
        lambda s: s.update("Thing", {"id": 1}, {"owner": {"id": 2, "&": {"since": 7}}}),
        lambda s: s.update("Owner", {"id": 2}, {"things": [{"id": 2}, {"id": 1, "&": {"since": 7}}]}),
        lambda s: s.create("Owner", {"name": "b", "things": [{"id": 1, "&": {"since": 7}}]}),
    ],
)
def test_targets_change_their_source(engine: Engine, move: Any) -> None:
    storage = _storage(engine, "1:n")
    told: list[Any] = []
    storage.listen(lambda _, events: told.extend((e.type, e.record_name) for e in events if e.record_name == "Owning"))
    move(storage)
    assert _owners(storage) == {"a1": "b", "b1": "b"}
    assert storage.count("Owning", {"since": 7, "target.id": 1}) == 1
    assert sorted(told) == [("create", "Owning"), ("delete", "Owning")]
    assert counts(storage)["Part"] == 2
    storage.delete("Owner", {"name": "b"})
    assert counts(storage) == {"Owner": 1}
