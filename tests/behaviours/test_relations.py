"""A relation is a record, whatever holds it: S-A3, S-A27, S-A29 to S-A33, S-A42."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour

_PEOPLE = [iq.Entity("Person", [iq.Property("name", str), iq.Property("age", int)])]
_CARDS = [iq.Entity("Card", [iq.Property("code", str)])]
_HELD = ("foreign key", "table")


def _relation(kind: str, held: str, **options: Any) -> iq.Relation:
    return iq.Relation(
        name="Owning",
        source="Person",
        source_property="cards" if kind.endswith("n") else "card",
        target="Card",
        target_property="owners" if kind.startswith("n") else "owner",
        type=kind,  # type: ignore[arg-type]
        properties=[iq.Property("since", int, default=2000)] if held == "table" else [],
        **options,
    )


def _storage(engine: Engine, *relations: iq.Relation, **more: Any) -> iq.Storage:
    entities = [*_PEOPLE, *_CARDS, *more.get("entities", ())]
    controller = iq.Controller(iq.System(engine), entities=entities, relations=relations)
    controller.setup(install=True)
    storage = controller.system.storage
    for name, age in (("a", 1), ("b", 2), ("c", 3)):
        storage.create("Person", {"name": name, "age": age})
    for code in "xyz":
        storage.create("Card", {"code": code})
    return storage


def _pairs(storage: iq.Storage, match: Any = None, **options: Any) -> list[tuple[int, int]]:
    options.setdefault("order_by", {"source.id": "ASC", "target.id": "ASC"})
    found = storage.find_relation("Owning", match, **options)
    return [(row["source"]["id"], row["target"]["id"]) for row in found]


def _told(storage: iq.Storage) -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []

    def hear(_: iq.Storage, events: tuple[iq.MutationEvent, ...]) -> None:
        for event in events:
            record = event.record
            if event.record_name != "Owning":
                found.append((event.type, event.record_name, record["id"]))
            elif "source_id" in record:
                found.append((event.type, "Owning", (record["source_id"], record["target_id"])))
            else:
                found.append((event.type, "Owning", (record["source"]["id"], record["target"]["id"])))

    storage.listen(hear)
    return found


@behaviour("S-A3", "S-A33")
@pytest.mark.parametrize("held", _HELD)
@pytest.mark.parametrize("kind", ["1:1", "1:n", "n:1", "n:n"])
def test_links_are_found_and_matched_by_name(engine: Engine, kind: str, held: str) -> None:
    storage = _storage(engine, _relation(kind, held))
    for person, card in ((1, 1), (2, 3), (3, 2)):
        storage.add_relation("Owning", person, card)
    assert _pairs(storage) == [(1, 1), (2, 3), (3, 2)]
    ref = iq.MatchExp.ref
    matches: list[tuple[Any, list[tuple[int, int]]]] = [
        ({"source.id": 2}, [(2, 3)]),
        ({"target.code": "y"}, [(3, 2)]),
        ({"source.id": 1, "target.id": 1}, [(1, 1)]),
        ({"source.name": ("in", ["a", "c"]), "target.code": ("!=", "y")}, [(1, 1)]),
        (~iq.MatchExp.atom("source.name", ("=", "a")), [(2, 3), (3, 2)]),
        (iq.MatchExp.atom("source.name", ("=", "a")) | {"target.id": 2}, [(1, 1), (3, 2)]),
        ({"source.age": ("<", ref("target.id"))}, [(2, 3)]),
        ({"source": ("exist", {"age": (">", 1)})}, [(2, 3), (3, 2)]),
        ({"target": ("exist", {"code": "z"})}, [(2, 3)]),
        ({"target": ("exist", {"id": (">", ref("source.age"))})}, [(2, 3)]),
        ({"source": ("exist", {"age": (">", ref("target.id"))})}, [(3, 2)]),
        ({"target.id": None}, []),
        (None, [(1, 1), (2, 3), (3, 2)]),
    ]
    for match, expected in matches:
        assert _pairs(storage, match) == expected
        assert storage.count("Owning", match) == len(expected)
    assert _pairs(storage, order_by={"target.code": "DESC"}, limit=2) == [(2, 3), (3, 2)]
    assert _pairs(storage, order_by={"source.name": "ASC"}, offset=1, limit=1) == [(2, 3)]
    query: list[Any] = ["source.name", ("target", {"attribute_query": ["code"]})]
    (found,) = storage.find("Owning", {"source.id": 2}, attribute_query=query)
    found.pop("id", None)
    assert found == {"source": {"id": 2, "name": "b"}, "target": {"id": 3, "code": "z"}}
    one = storage.find_one("Owning", {"source.id": 2}, attribute_query=query)
    assert one is not None
    assert one["target"]["code"] == "z"
    assert len(list(storage.iterate("Owning", batch=2))) == 3
    removed = storage.delete("Owning", {"target.code": ("in", ["x", "y"])})
    assert len(removed) == 2
    assert _pairs(storage) == [(2, 3)]
    created = storage.create("Owning", {"source": {"id": 1}, "target": {"id": 2}})
    assert created["source"] == {"id": 1}
    assert _pairs(storage) == [(1, 2), (2, 3)]


@behaviour("S-A30", "S-A31", "S-A32", "S-A42")
@pytest.mark.parametrize("held", _HELD)
@pytest.mark.parametrize("kind", ["1:1", "1:n", "n:1", "n:n"])
def test_a_new_link_takes_the_place_of_old_ones(engine: Engine, kind: str, held: str) -> None:
    storage = _storage(engine, _relation(kind, held))
    links = {(1, 1), (2, 2)}
    for pair in links:
        storage.add_relation("Owning", *pair)
    told = _told(storage)
    for source, target in ((1, 2), (3, 2), (3, 3), (1, 3)):
        told.clear()
        storage.add_relation("Owning", source, target)
        gone: set[tuple[int, int]] = set()
        if kind.startswith("1"):
            gone |= {link for link in links if link[1] == target}
        if kind.endswith("1"):
            gone |= {link for link in links if link[0] == source}
        links = links - gone | {(source, target)}
        assert _pairs(storage) == sorted(links)
        ended = [event for event in told if event[0] == "delete"]
        assert sorted(ended) == sorted(("delete", "Owning", link) for link in gone)
        assert told.count(("create", "Owning", (source, target))) == 1
        if held == "foreign key" and kind != "n:n":
            assert any(event[:2] in (("update", "Person"), ("update", "Card")) for event in told)
        with pytest.raises(iq.ConstraintViolationError):
            storage.add_relation("Owning", source, target)
        assert _pairs(storage) == sorted(links)


@behaviour("S-A27", "S-A29", "S-A42")
def test_events_of_a_link_that_a_foreign_key_holds(engine: Engine) -> None:
    storage = _storage(engine, _relation("n:1", "foreign key"))
    told = _told(storage)
    storage.create("Person", {"name": "d", "card": {"code": "w"}})
    assert told == [("create", "Card", 4), ("create", "Person", 4), ("create", "Owning", (4, 4))]
    told.clear()
    storage.update("Person", {"id": 4}, {"card": {"id": 1}})
    assert told == [("delete", "Owning", (4, 4)), ("update", "Person", 4), ("create", "Owning", (4, 1))]
    told.clear()
    storage.update("Person", {"id": 4}, {"card": {"id": 1}, "name": "e"})
    assert told == [("update", "Person", 4)]
    told.clear()
    storage.remove_relation("Owning", {"source.id": 4})
    assert told == [("delete", "Owning", (4, 1)), ("update", "Person", 4)]
    storage.update("Person", {"id": 4}, {"card": {"id": 2}})
    told.clear()
    storage.delete("Person", {"id": 4})
    assert told == [("delete", "Owning", (4, 2)), ("delete", "Person", 4)]
    storage.add_relation("Owning", 1, 3)
    told.clear()
    storage.delete("Card", {"id": 3})
    assert ("delete", "Owning", (1, 3)) in told


@behaviour("S-A42")
def test_links_that_a_foreign_key_holds_set_things_off(engine: Engine) -> None:
    heard: list[Any] = []
    note = iq.Entity(
        "Note",
        [iq.Property("text", str)],
        computation=iq.Transform(
            event_deps={
                kind: iq.Trigger("Owning", kind)  # type: ignore[arg-type]
                for kind in ("create", "delete")
            },
            callback=lambda event: {"text": f"{event.type} {event.record.source.id}-{event.record.target.id}"},
        ),
    )
    effect = iq.RecordMutationSideEffect("hear", "Owning", lambda _, event: heard.append((event.type, event.record)))
    source = iq.EventSource(
        "give",
        iq.Entity("Giving", []),
        after_dispatch=lambda ctx, args, _: ctx.storage.add_relation("Owning", args["person"], 1),
    )
    controller = iq.Controller(
        iq.System(engine),
        entities=[*_PEOPLE, *_CARDS, note],
        relations=[_relation("1:n", "foreign key")],
        event_sources=[source],
        record_mutation_side_effects=[effect],
    )
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create("Person", {"name": "a", "cards": [{"code": "x"}]})
    storage.create("Person", {"name": "b"})
    controller.dispatch("give", {"person": 2}).raise_for_error()
    storage.update("Card", {"id": 1}, {"code": "y"})
    found = [row["text"] for row in storage.find("Note", attribute_query=["text"], order_by={"id": "ASC"})]
    assert found == ["create 1-1", "delete 1-1", "create 2-1"]
    ends = {"source": {"id": 1}, "target": {"id": 1}}
    assert heard == [("delete", ends), ("create", ends | {"source": {"id": 2}})]


@behaviour("S-A32")
@pytest.mark.parametrize("held", _HELD)
def test_equal_references_are_one_link(engine: Engine, held: str) -> None:
    storage = _storage(engine, _relation("1:n" if held == "foreign key" else "n:n", held))
    storage.update("Person", {"id": 1}, {"cards": [{"id": 1}, {"id": "1"}, {"id": 2}]})
    storage.create("Person", {"cards": [{"id": 3}, {"id": 3}]})
    assert _pairs(storage) == [(1, 1), (1, 2), (4, 3)]
    if held == "table":
        same: list[Any] = [{"id": 1, "&": {"since": 1}}, {"id": 1, "&": {"since": 1}}]
        storage.update("Person", {"id": 1}, {"cards": same})
        assert storage.find_relation("Owning", {"since": 1, "source.id": 1}, attribute_query=["target.code"])
        for other in ({"since": 2}, None):
            different = [same[0], {"id": 1, "&": other} if other else {"id": 1}]
            with pytest.raises(iq.InvalidValueError, match="twice, with different links"):
                storage.update("Person", {"id": 1}, {"cards": different})
        assert _pairs(storage, {"since": 1}) == [(1, 1)]


@behaviour("S-A4")
def test_properties_of_links_are_updated(engine: Engine) -> None:
    storage = _storage(engine, _relation("n:n", "table"))
    storage.add_relation("Owning", 1, 1)
    storage.add_relation("Owning", 1, 2, {"since": 5})
    changed = storage.update_relation("Owning", {"source.id": 1, "target.code": "x"}, {"since": 7})
    assert changed == [{"id": 1, "since": 7}]
    found = storage.find_relation("Owning", {"source.id": 1}, attribute_query=["since"], order_by={"since": "ASC"})
    assert [row["since"] for row in found] == [5, 7]
    assert storage.find_relation("Owning", {"since": 7}) == [{"id": 1, "source": {"id": 1}, "target": {"id": 1}}]


_REFUSED: list[tuple[str, Any, str]] = [
    ("table", lambda s: s.update("Person", {"id": 1}, {"cards": [{"id": 1, "&": 5}]}), "'&' is a mapping"),
    ("table", lambda s: s.create("Person", {"cards": [{"code": "n", "&": None}]}), "'&' is a mapping"),
    ("foreign key", lambda s: s.create("Person", {"cards": [{"code": "n", "&": {}}]}), "leave '&' out"),
    ("foreign key", lambda s: s.update("Card", {"id": 1}, {"owner": {"id": 2, "&": {"x": 1}}}), "leave '&' out"),
    ("table", lambda s: s.update_relation("Owning", {"id": 1}, {"source": {"id": 2}}), "end of the relation"),
    ("table", lambda s: s.update("Owning", {"id": 1}, {"target_id": 2}), "end of the relation"),
    ("table", lambda s: s.add_relation("Owning", 1, 1, {"source_id": 2}), "end of the relation"),
    ("table", lambda s: s.update("Person", {"id": 1}, {"cards": [{"id": 1, "&": {"source_id": 2}}]}), "end of the"),
    ("table", lambda s: s.update_relation("Owning", {"id": 1}, {"sinc": 2}), "no attribute 'sinc'; there is since"),
    ("table", lambda s: s.find_relation("Person"), "there is no relation 'Person'; there are Owning"),
    ("foreign key", lambda s: s.update_relation("Owning", {"source.id": 1}, {"since": 2}), "has no properties"),
    ("foreign key", lambda s: s.update("Owning", {"source.id": 1}, {"source": {"id": 1}}), "has no properties"),
    ("foreign key", lambda s: s.find_relation("Owning", {"since": 1}), "has no values of its own"),
    ("foreign key", lambda s: s.find_relation("Owning", {"source": 1}), "has no values of its own"),
    ("foreign key", lambda s: s.find("Owning", order_by={"id": "ASC"}), "has no values of its own"),
    ("foreign key", lambda s: s.find("Owning", attribute_query=["id"]), "has no values of its own"),
    ("foreign key", lambda s: s.find("Owning", attribute_query=["source.nam"]), "Person has no attribute 'nam'"),
    ("foreign key", lambda s: s.find("Owning", {"target.cod": 1}), "Card has no attribute 'cod'"),
    ("foreign key", lambda s: s.create("Owning", {"source": {"id": 1}}), "give the key of its target"),
    (
        "foreign key",
        lambda s: s.create("Owning", {"source": {"id": 1}, "target": {"code": "n"}}),
        "give the key of its target",
    ),
]


@behaviour("S-A40")
@pytest.mark.parametrize(("held", "call", "message"), _REFUSED)
def test_what_a_relation_does_not_have_is_refused(engine: Engine, held: str, call: Any, message: str) -> None:
    storage = _storage(engine, _relation("1:n" if held == "foreign key" else "n:n", held))
    storage.add_relation("Owning", 1, 1)
    with pytest.raises(iq.FrameworkError, match=message):
        call(storage)
    assert _pairs(storage) == [(1, 1)]


@behaviour("S-A3")
@pytest.mark.parametrize("held", _HELD)
async def test_links_are_awaited(async_engine: AsyncEngine, held: str) -> None:
    relation = _relation("1:n", held)
    controller = iq.AsyncController(iq.AsyncSystem(async_engine), entities=[*_PEOPLE, *_CARDS], relations=[relation])
    await controller.setup(install=True)
    storage = controller.system.storage
    await storage.create("Person", {"name": "a", "cards": [{"code": "x"}, {"code": "y"}]})
    await storage.create("Person", {"name": "b"})
    await storage.add_relation("Owning", 2, 1)
    (found,) = await storage.find_relation("Owning", {"source.name": "b"}, limit=1)
    assert (found["source"], found["target"]) == ({"id": 2}, {"id": 1})
    assert await storage.count("Owning") == 2
    if held == "table":
        (changed,) = await storage.update_relation("Owning", {"source.id": 2}, {"since": 1})
        assert changed["since"] == 1
