"""Merged relations: S-A55."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour

_PERSON = iq.Entity(
    "Person",
    [
        iq.Property("name", str),
        iq.Property("buy_count", int, computation=iq.Count("buys")),
        iq.Property("dear_count", int, computation=iq.Count("sells_links", where={"price": (">", 5)})),
        iq.Property("deal_sum", int, computation=iq.Summation("deals_links", "price")),
    ],
)
_ENTITIES = [_PERSON, iq.Entity("Thing", [iq.Property("name", str)])]


def _pairs(name: str, here: str, there: str, *properties: iq.Property, **options: Any) -> iq.Relation:
    given: dict[str, Any] = {"source": "Person", "target": "Thing", "type": "n:n", **options}
    return iq.Relation(name=name, source_property=here, target_property=there, properties=properties, **given)


_BUYING = _pairs("Buying", "buys", "buyers", iq.Property("price", int, default=1), iq.Property("note", str))
_SELLING = _pairs("Selling", "sells", "sellers", iq.Property("price", int, default=2))


def _deal(*inputs: Any, **options: Any) -> iq.Relation:
    return iq.Relation(
        name="Deal", input_relations=inputs, source_property="deals", target_property="dealers", **options
    )


_RELATIONS = [
    _BUYING,
    _SELLING,
    _deal(_BUYING, "Selling"),
    iq.Relation(
        name="DearDeal",
        base_relation="Deal",
        match_expression={"price": (">", 5)},
        source_property="dear_deals",
        target_property="dear_dealers",
    ),
]


@pytest.fixture
def system(engine: Engine) -> iq.System:
    """Return a system over the domain, without records."""
    system = iq.System(engine)
    count = iq.Dictionary("deals", int, computation=iq.Count("Deal"))
    controller = iq.Controller(system, entities=_ENTITIES, relations=_RELATIONS, dictionaries=[count])
    controller.setup(install=True)
    return system


@pytest.fixture
def storage(system: iq.System) -> iq.Storage:
    """Return its storage."""
    return system.storage


@behaviour("S-A55")
def test_links_are_created_by_inputs_and_read_by_both_names(storage: iq.Storage) -> None:
    storage.create("Person", {"name": "a", "buys": [{"name": "x", "&": {"note": "n"}}], "sells": [{"name": "y"}]})
    storage.add_relation("Selling", 1, 1, {"price": 7})  # the same pair, under another input
    link = ("&", {"attribute_query": ["record_type", "price"]})
    names = ["buys", "sells", "deals", "dear_deals"]
    query: list[Any] = [(name, {"attribute_query": ["name", link]}) for name in names]
    (found,) = storage.find("Person", attribute_query=["buy_count", "dear_count", "deal_sum", *query])
    assert (found["buy_count"], found["dear_count"], found["deal_sum"]) == (1, 1, 10)

    def links(name: str) -> list[tuple[Any, ...]]:
        return sorted((row["name"], row["&"]["record_type"], row["&"]["price"]) for row in found[name])

    assert links("buys") == [("x", "Buying", 1)]
    assert links("sells") == [("x", "Selling", 7), ("y", "Selling", 2)]
    assert links("deals") == [("x", "Buying", 1), ("x", "Selling", 7), ("y", "Selling", 2)]
    assert links("dear_deals") == [("x", "Selling", 7)]
    assert storage.count("Deal", {"price": (">", 1)}) == 2
    assert storage.count("Buying", {"price": (">", 1)}) == 0
    assert storage.count("Thing", {"dealers.&.price": 7, "dealers.name": "a"}) == 1
    assert storage.count("Thing", {"buyers.&.price": 7}) == 0
    assert storage.dictionary.get("deals") == 3
    with pytest.raises(iq.ConstraintViolationError):
        storage.add_relation("Buying", 1, 1)
    with pytest.raises(iq.DefinitionFault, match="Deal is not created by itself; create Buying or Selling"):
        storage.add_relation("Deal", 1, 2)
    with pytest.raises(iq.DefinitionFault, match="Deal is not created by itself"):
        storage.update("Person", {"id": 1}, {"deals": [{"name": "z"}]})
    with pytest.raises(iq.DefinitionFault, match="Selling has no attribute 'note'"):
        storage.update_relation("Selling", {"source.id": 1}, {"note": "m"})


@behaviour("S-A55")
def test_links_are_replaced_and_removed_by_both_names(storage: iq.Storage) -> None:
    heard: list[str] = []
    names = ("Deal", "Buying", "Selling", "DearDeal")
    storage.listen(
        lambda _, events: heard.extend(f"{e.type} {e.record_name}" for e in events if e.record_name in names)
    )

    def told(write: Any) -> list[str]:
        heard.clear()
        write()
        return list(heard)

    data = {"buys": [{"name": "x"}], "sells": [{"name": "y", "&": {"price": 9}}]}
    entered = ["create Deal", "create Buying", "create Deal", "create Selling", "create DearDeal"]
    assert told(lambda: storage.create("Person", {"name": "a", **data})) == entered
    replaced = told(lambda: storage.update("Person", {"id": 1}, {"buys": [{"id": 2, "&": {"price": 4}}]}))
    assert replaced == ["delete Buying", "delete Deal", "create Deal", "create Buying"]
    assert told(lambda: storage.update("Person", {"id": 1}, {"buys": [{"id": 2, "&": {"price": 3}}]})) == [
        "update Deal"
    ]
    raised = told(lambda: storage.update_relation("Deal", {"source.id": 1}, {"price": 8}))
    assert sorted(raised) == ["create DearDeal", "update Deal", "update Deal"]
    assert storage.find_one("Person", attribute_query=["deal_sum"]) == {"id": 1, "deal_sum": 16}
    removed = told(lambda: storage.remove_relation("Deal", {"target.name": "y", "record_type": "Buying"}))
    assert removed == ["delete DearDeal", "delete Buying", "delete Deal"]
    assert told(lambda: storage.remove_relation("Selling", {"target.name": "x"})) == []
    assert sorted(told(lambda: storage.delete("Person", {"id": 1}))) == [
        "delete Deal",
        "delete DearDeal",
        "delete Selling",
    ]
    assert (storage.count("Deal"), storage.dictionary.get("deals"), storage.count("Thing")) == (0, 0, 2)


@behaviour("S-A55")
def test_bulk_statements_and_random_writes_keep_values(system: iq.System) -> None:
    storage, rng = system.storage, random.Random(1)
    buying, selling, deal = (system.schema.mapped_class(name) for name in ("Buying", "Selling", "Deal"))
    for n in range(3):
        storage.create("Person", {"name": f"p{n}"})
        storage.create("Thing", {"name": f"t{n}"})

    def bulk(statement: Any, rows: Any = None) -> None:
        with system.session_factory.begin() as session:
            session.execute(statement, rows)

    def add(name: str) -> None:
        source, target = rng.randint(1, 3), rng.randint(1, 3)
        if not storage.count(name, {"source.id": source, "target.id": target}):
            storage.add_relation(name, source, target, {"price": rng.randint(1, 9)})

    def insert_one() -> None:
        if not storage.count("Selling", {"source.id": 1, "target.id": 1}):
            bulk(insert(selling), [{"source_id": 1, "target_id": 1}])

    writes: list[Any] = [
        lambda: add("Buying"),
        lambda: add("Selling"),
        insert_one,
        lambda: bulk(update(deal).values(price=deal.price + 1)),
        lambda: bulk(update(buying).values(price=3)),
        lambda: bulk(delete(selling).where(selling.price > 7)),
        lambda: storage.update("Person", {"id": 2}, {"sells": [{"id": rng.randint(1, 3)}]}),
    ]
    for _ in range(40):
        rng.choice(writes)()
        with system.session_factory() as session:
            rows = session.execute(select(deal.source_id, deal.record_type, deal.price)).all()
        for person in storage.find("Person", attribute_query=["*"]):
            own = [(kind, price) for source, kind, price in rows if source == person["id"]]
            assert person["deal_sum"] == sum(price for _, price in own)
            assert person["buy_count"] == sum(kind == "Buying" for kind, _ in own)
            assert person["dear_count"] == sum(kind == "Selling" and price > 5 for kind, price in own)
        assert storage.count("DearDeal") == sum(price > 5 for *_, price in rows)
    assert system.check().ok


@behaviour("S-A55")
@pytest.mark.parametrize(
    ("relations", "expected"),
    [
        ([_BUYING, _deal("Buying", "Other")], "its input 'Other' is not a relation of the same call"),
        ([_BUYING, _pairs("Owning", "owns", "owner", type="1:n"), _deal("Buying", "Owning")], "inputs are 'n:n'"),
        (
            [_BUYING, _pairs("Knowing", "knows", "known", target="Person"), _deal("Buying", "Knowing")],
            "its inputs have different ends: Person to Person, Person to Thing",
        ),
        ([_BUYING, _deal("Buying", source="Person")], "declare source= there"),
        (
            [_BUYING, _pairs("Selling", "sells", "sellers", iq.Property("price", str)), _deal("Buying", "Selling")],
            "declare it with different types",
        ),
        ([_BUYING, _pairs("X", "deals", "y"), _deal("Buying")], "Person.deals: relation"),
    ],
)
def test_invalid_merged_relations_are_refused(relations: list[iq.Relation], expected: str) -> None:
    class Base(DeclarativeBase):
        pass

    entities = [iq.Entity("Person"), iq.Entity("Thing")]
    with pytest.raises(iq.DefinitionError) as caught:
        iq.compile_schema(Base, entities=entities, relations=relations)
    assert any(expected in str(fault) for fault in caught.value.exceptions), caught.value.exceptions
    assert not Base.metadata.tables


@behaviour("S-A55")
def test_definitions_may_be_given_again(system: iq.System) -> None:
    again = iq.compile_schema(system.metadata, entities=_ENTITIES, relations=_RELATIONS)
    assert {record.name for record in again.records} >= {"Deal", "Buying", "DearDeal"}
