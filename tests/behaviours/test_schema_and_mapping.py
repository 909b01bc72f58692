"""Records, relations and their names: S-A1 to S-A10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

import interaqt_sa as iq
from interaqt_sa.definitions.records import Cardinality
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import ENTITIES, RELATIONS, numbers

_TYPES = [
    iq.Property("text", "string"),
    iq.Property("number", "number"),
    iq.Property("flag", "boolean"),
    iq.Property("at", "timestamp"),
    iq.Property("thing", "object"),
    iq.Property("tags", "string", collection=True),
]
_VALUES = {"text": "a", "number": 1.5, "flag": True, "at": 1_700_000_000_123, "thing": {"a": [1]}, "tags": ["x", "y"]}

_LINKING: list[Callable[[iq.Storage], Any]] = [
    lambda s: s.create("Person", {"teams": [{"id": 1, "&": {"role": "r"}}]}),
    lambda s: s.create("Team", {"members": [{"id": 1, "&": {"role": "r"}}]}),
    lambda s: s.add_relation("Membership", 1, 1, {"role": "r"}),
    lambda s: s.create("Membership", {"source": {"id": 1}, "target": {"id": 1}, "role": "r"}),
    lambda s: s.update("Person", {"id": 1}, {"teams": [{"id": 1, "&": {"role": "r"}}]}),
]


@behaviour("S-A1")
def test_values_of_every_type(engine: Engine) -> None:
    storage = _storage(engine, [iq.Entity("Thing", _TYPES)], [])
    storage.create("Thing", _VALUES)
    (found,) = storage.find("Thing", attribute_query=["*"])
    assert found == {"id": 1, **_VALUES}
    assert {name: type(found[name]) for name in _VALUES} == {name: type(value) for name, value in _VALUES.items()}


@behaviour("S-A2")
def test_relations_are_named_by_their_ends() -> None:
    names = [relation.name for relation in RELATIONS]
    assert names[:3] == ["Person_boss_staff_Person", "Person_desk_owner_Desk", "Ownership"]


@behaviour("S-A3")
@pytest.mark.parametrize("kind", ["1:1", "1:n", "n:1", "n:n"])
@pytest.mark.parametrize("is_turned", [False, True], ids=["as said", "turned"])
@pytest.mark.parametrize("has_properties", [False, True], ids=["plain", "with properties"])
def test_either_end_may_be_the_source(engine: Engine, kind: Cardinality, is_turned: bool, has_properties: bool) -> None:
    turned: dict[Cardinality, Cardinality] = {"1:1": "1:1", "1:n": "n:1", "n:1": "1:n", "n:n": "n:n"}
    ends: dict[str, Any] = {"source": "A", "source_property": "b", "target": "B", "target_property": "a"}
    if is_turned:
        ends = {"source": "B", "source_property": "a", "target": "A", "target_property": "b"}
    relation = iq.Relation(
        **ends,
        type=turned[kind] if is_turned else kind,
        name="R",
        properties=[iq.Property("p", int, default=7)] if has_properties else (),
    )
    storage = _storage(engine, [iq.Entity(name, [iq.Property("n", int)]) for name in "AB"], [relation])
    many = kind[2] == "n"
    for n in (1, 2):
        storage.create("A", {"n": n, "b": [{}, {}] if many else {}})
    storage.update("A", {"id": 1}, {"b": [{"id": 1}] if many else {"id": 1}})
    found = storage.find("A", attribute_query=["b.a.n"], order_by={"id": "ASC"})
    back = [{"id": 1, "n": 1}] if kind[0] == "n" else {"id": 1, "n": 1}
    assert found[0]["b"] == ([{"id": 1, "a": back}] if many else {"id": 1, "a": back})
    assert numbers(storage, "A", {"b": ("exist", {"id": 1})}) == [1]
    assert numbers(storage, "B", {"a": ("exist", {"n": 2})}) == ([3, 4] if many else [2])
    storage.delete("A", {"id": 1})
    assert numbers(storage, "B", {"a": ("exist", {"n": 1})}) == []
    assert numbers(storage, "B") == ([1, 2, 3, 4] if many else [1, 2])


@behaviour("S-A4")
@pytest.mark.parametrize(
    "relate", _LINKING, ids=["nested", "nested from the other end", "add_relation", "as a record", "update"]
)
def test_links_have_values_and_defaults(storage: iq.Storage, relate: Any) -> None:
    storage.create("Person", {"name": "Ann"})
    storage.create("Team", {"name": "x"})
    relate(storage)
    (link,) = storage.find("Membership", attribute_query=["role", "since"])
    assert (link["role"], link["since"]) == ("r", 2000)


@behaviour("S-A7")
def test_records_related_to_their_own_kind(storage: iq.Storage) -> None:
    storage.create("Person", {"name": "a", "staff": [{"name": "b", "staff": [{"name": "c"}]}, {"name": "d"}]})
    found = storage.find("Person", {"boss.name": "a"}, attribute_query=["name"], order_by={"name": "ASC"})
    assert [row["name"] for row in found] == ["b", "d"]
    (top,) = storage.find("Person", {"name": "a"}, attribute_query=["staff.staff.name"])
    assert sorted(len(one["staff"]) for one in top["staff"]) == [0, 1]
    assert [row["name"] for row in storage.find("Person", {"boss.boss.name": "a"}, attribute_query=["name"])] == ["c"]
    storage.delete("Person", {"name": "a"})
    assert len(storage.find("Person", {"boss.id": None})) == 2


@behaviour("S-A8")
@pytest.mark.parametrize(
    ("entities", "relations", "fault"),
    [
        ([iq.Entity("A", [iq.Property("id", int)])], [], "this attribute by itself"),
        ([iq.Entity("A", [iq.Property("n", int), iq.Property("n", int)])], [], "declared twice"),
        ([iq.Entity("A"), iq.Entity("A", [iq.Property("n", int)])], [], "given twice"),
        ([iq.Entity("A b")], [], "A b"),
        ([iq.Entity("A", [iq.Property("a-b", int)])], [], "a-b"),
        ([iq.Entity("A", [iq.Property("b", int)]), iq.Entity("B")], [("A", "b", "B", "a", "n:n")], "it is taken"),
        ([iq.Entity("A"), iq.Entity("B")], [("A", "b", "B", "a", "n:1"), ("A", "b", "B", "c", "n:n")], "it is taken"),
        ([iq.Entity("A")], [("A", "b", "A", "c", "n")], "not one of"),
    ],
)
def test_names_and_kinds_that_cannot_be(entities: list[Any], relations: list[Any], fault: str) -> None:
    with pytest.raises(iq.DefinitionError) as caught:
        iq.compile_schema(MetaData(), entities=entities, relations=[_relation(*given) for given in relations])
    assert fault in "\n".join(map(str, caught.value.exceptions))


@behaviour("S-A8")
@pytest.mark.parametrize("kind", ["n:1", "n:n"])
def test_only_one_source_can_be_relied_on(kind: Cardinality) -> None:
    relation = _relation("A", "b", "A", "c", kind, is_target_reliance=True)
    with pytest.raises(iq.DefinitionError, match="cannot be compiled") as caught:
        iq.compile_schema(MetaData(), entities=[iq.Entity("A")], relations=[relation])
    assert "is_target_reliance needs one source" in str(caught.value.exceptions[0])


@behaviour("S-A9")
def test_the_order_of_declarations_changes_no_physical_name() -> None:
    def dump(entities: list[Any], relations: list[Any]) -> set[str]:
        metadata = MetaData()
        iq.compile_schema(metadata, entities=entities, relations=relations)
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        texts = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.tables.values()]
        return {line.strip(" ,\t") for text in texts for line in text.splitlines()}

    assert dump(ENTITIES, RELATIONS) == dump(ENTITIES[::-1], RELATIONS[::-1])


@behaviour("S-A10")
def test_long_names_stay_distinct(engine: Engine) -> None:
    long = "x" * 80
    entities = [
        iq.Entity(long + "A", [iq.Property(long + "p", int), iq.Property(long + "q", int)]),
        iq.Entity(long + "B"),
    ]
    relation = iq.Relation(
        source=long + "A", source_property=long + "b", target=long + "B", target_property=long + "a", type="n:n"
    )
    storage = _storage(engine, entities, [relation])
    storage.create(long + "A", {long + "p": 1, long + "q": 2, long + "b": [{}]})
    (found,) = storage.find(long + "A", attribute_query=[long + "p", long + "q", long + "b"])
    assert found == {"id": 1, long + "p": 1, long + "q": 2, long + "b": [{"id": 1}]}


def _relation(source: str, source_property: str, target: str, target_property: str, kind: Any, **more: Any) -> Any:
    return iq.Relation(
        source=source,
        source_property=source_property,
        target=target,
        target_property=target_property,
        type=kind,
        **more,
    )


def _storage(engine: Engine, entities: list[Any], relations: list[Any]) -> iq.Storage:
    controller = iq.Controller(iq.System(engine), entities=entities, relations=relations)
    controller.setup(install=True)
    return controller.system.storage
