"""Merged entities: S-A52 to S-A54."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update
from sqlalchemy.orm import DeclarativeBase

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour

_CUSTOMER = iq.Entity(
    "Customer",
    [
        iq.Property("name", str),
        iq.Property("city", str, default="Rome"),
        iq.Property("rating", int, default=3),
        iq.Property("spent", int, computation=iq.Summation("orders", "total")),
        iq.Property("label", str, computed=lambda customer: f"<{customer.name}>"),
    ],
    constraints=[iq.UniqueConstraint("one_rating", ["rating", "name"])],
)
_SUPPLIER = iq.Entity(
    "Supplier",
    [
        iq.Property("name", str),
        iq.Property("city", str, default=lambda: "Oslo"),
        iq.Property("vat", str),
        iq.Property("offer_count", int, computation=iq.Count("offers")),
    ],
)
_CONTACT = iq.Entity("Contact", input_entities=[_CUSTOMER, "Supplier"], common_properties=[iq.Property("name", str)])
_ENTITIES = [
    _CUSTOMER,
    _SUPPLIER,
    _CONTACT,
    iq.Entity("Order", [iq.Property("total", int)]),
    iq.Entity("Offer", [iq.Property("name", str)]),
    iq.Entity("Note", [iq.Property("text", str)]),
    iq.Entity("Roman", base_entity="Contact", match_expression={"city": "Rome"}),
    iq.Entity("GoodCustomer", base_entity="Customer", match_expression={"rating": (">", 3)}),
    iq.Entity("Card", [iq.Property("text", str)], computation=iq.Transform("Contact", lambda c: {"text": c["name"]})),
    iq.Entity("Visit", [iq.Property("text", str)], computation=iq.Transform("Supplier", lambda s: {"text": s["vat"]})),
]
_RELATIONS = [
    iq.Relation(source="Customer", source_property="orders", target="Order", target_property="customer", type="1:n"),
    iq.Relation(source="Supplier", source_property="offers", target="Offer", target_property="supplier", type="1:n"),
    iq.Relation(
        name="Remark",
        source="Contact",
        source_property="notes",
        target="Note",
        target_property="contacts",
        type="n:n",
        properties=[iq.Property("stars", int)],
    ),
]
_DICTIONARIES = [
    iq.Dictionary("contacts", int, computation=iq.Count("Contact")),
    iq.Dictionary("customers", int, computation=iq.Count("Customer")),
    iq.Dictionary("romans", int, computation=iq.Count("Roman")),
]


@pytest.fixture
def system(engine: Engine) -> iq.System:
    """Return a system over the domain, without records."""
    system = iq.System(engine)
    controller = iq.Controller(system, entities=_ENTITIES, relations=_RELATIONS, dictionaries=_DICTIONARIES)
    controller.setup(install=True)
    return system


@pytest.fixture
def storage(system: iq.System) -> iq.Storage:
    """Return its storage."""
    return system.storage


@behaviour("S-A52")
def test_inputs_are_read_by_their_own_and_the_merged_name(storage: iq.Storage) -> None:
    storage.create("Customer", {"name": "a", "orders": [{"total": 5}]})
    storage.create("Supplier", {"name": "b", "vat": "x", "offers": [{}, {}]})
    storage.create("Supplier", {"name": "c", "city": "Rome"})
    order: Any = {"id": "ASC"}
    customer = {
        "id": 1,
        "record_type": "Customer",
        "name": "a",
        "city": "Rome",
        "rating": 3,
        "spent": 5,
        "label": "<a>",
    }
    supplier = {"id": 2, "record_type": "Supplier", "name": "b", "city": "Oslo", "vat": "x", "offer_count": 2}
    assert storage.find("Customer", attribute_query=["*"]) == [customer]
    assert storage.find("Supplier", {"id": 2}, attribute_query=["*"]) == [supplier]
    found = storage.find("Contact", attribute_query=["record_type", "city", "rating", "vat"], order_by=order)
    assert found == [
        {"id": 1, "record_type": "Customer", "city": "Rome", "rating": 3, "vat": None},
        {"id": 2, "record_type": "Supplier", "city": "Oslo", "rating": None, "vat": "x"},
        {"id": 3, "record_type": "Supplier", "city": "Rome", "rating": None, "vat": None},
    ]
    assert [row["id"] for row in storage.find("Contact", {"vat": "x"})] == [2]
    assert storage.find("Customer", {"id": 2}) == []
    assert [storage.dictionary.get(name) for name in ("contacts", "customers", "romans")] == [3, 1, 2]
    assert [storage.count(name) for name in ("Roman", "GoodCustomer", "Card", "Visit")] == [2, 0, 3, 2]
    with pytest.raises(iq.ConstraintViolationError):
        storage.create("Customer", {"name": "a"})
    storage.create("Supplier", {"name": "b"})


@behaviour("S-A52")
@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (
            lambda s: s.create("Contact", {"name": "x"}),
            "Contact is not created by itself; create Customer or Supp",
        ),
        (lambda s: s.create("Note", {"contacts": [{"name": "x"}]}), "Contact is not created by itself"),
        (lambda s: s.create("Customer", {"vat": "x"}), "Customer has no attribute 'vat'"),
        (lambda s: s.update("Contact", {"id": 1}, {"vat": "x"}), "Customer has no attribute 'vat'"),
        (lambda s: s.update("Customer", {"id": 1}, {"record_type": "Supplier"}), "is the kind of the record"),
        (lambda s: s.create("Customer", {"record_type": "Supplier"}), "is the kind of the record"),
        (lambda s: s.create("Offer", {"supplier": {"id": 1}}), "there is no Supplier with the key"),
        (lambda s: s.find("Customer", {"vat": "x"}), "Customer has no attribute 'vat'"),
    ],
)
def test_attributes_of_other_inputs_are_refused(storage: iq.Storage, write: Any, expected: str) -> None:
    storage.create("Customer", {"name": "a"})
    with pytest.raises(iq.FrameworkError, match=expected):
        write(storage)
    assert storage.count("Contact") == 1


@behaviour("S-A53")
def test_events_have_the_merged_and_the_input_name(storage: iq.Storage) -> None:
    heard: list[str] = []
    names = ("Contact", "Customer", "Supplier", "Remark", "Card", "Roman", "GoodCustomer")
    storage.listen(
        lambda _, events: heard.extend(f"{e.type} {e.record_name}" for e in events if e.record_name in names)
    )

    def told(write: Any) -> list[str]:
        heard.clear()
        write()
        return list(heard)

    created = told(lambda: storage.create("Customer", {"name": "a", "notes": [{"text": "t", "&": {"stars": 1}}]}))
    assert created == ["create Contact", "create Customer", "create Remark", "create Card", "create Roman"]
    renamed = ["update Contact", "update Card"]
    assert told(lambda: storage.update("Contact", {"id": 1}, {"name": "b"})) == renamed
    assert told(lambda: storage.update("Customer", {"id": 1}, {"name": "c"})) == renamed
    assert told(lambda: storage.update("Customer", {"id": 1}, {"rating": 4})) == [
        "update Contact",
        "create GoodCustomer",
    ]
    assert told(lambda: storage.create("Order", {"total": 4, "customer": {"id": 1}})) == ["update Contact"]
    note = storage.find_one("Note", attribute_query=["contacts.name", "contacts.record_type"])
    assert note == {"id": 1, "contacts": [{"id": 1, "name": "c", "record_type": "Customer"}]}
    deleted = told(lambda: storage.delete("Contact", {"name": "c"}))
    assert deleted[-3:] == ["delete Customer", "delete Contact", "delete Card"]
    assert set(deleted[:-3]) == {"delete GoodCustomer", "delete Roman", "delete Remark"}
    assert storage.count("Remark") == storage.count("Card") == 0
    assert storage.find("Order", attribute_query=["customer"]) == [{"id": 1, "customer": None}]


@behaviour("S-A53")
def test_side_effects_and_states_follow_inputs(engine: Engine) -> None:
    seen: list[Any] = []
    low, high = iq.StateNode("low"), iq.StateNode("high")
    state = iq.StateMachine(
        states=[low, high],
        transfers=[
            iq.StateTransfer(
                current=low,
                next=high,
                trigger=iq.Trigger("A", "update", keys=["n"], record={"n": 2}),
                compute_target=lambda _, event: event.record["id"],
            ),
            iq.StateTransfer(
                current=high,
                next=low,
                trigger=iq.Trigger("Both", "update", keys=["n"], record={"n": 3}),
                compute_target=lambda _, event: event.record["id"],
            ),
        ],
        initial_state=low,
    )
    entities = [
        iq.Entity("A", [iq.Property("n", int), iq.Property("state", str, computation=state)]),
        iq.Entity("B", [iq.Property("n", int), iq.Property("m", int)]),
        iq.Entity("Both", input_entities=["A", "B"]),
    ]
    change = iq.EventSource(
        "change",
        iq.Entity("Change", [iq.Property("n", int)]),
        map_event_data=lambda _, args: args,
        resolve=lambda ctx, args: ctx.storage.update("Both", lambda cls: cls.id > 0, args),
    )
    controller = iq.Controller(
        iq.System(engine),
        entities=entities,
        event_sources=[change],
        record_mutation_side_effects=[
            iq.RecordMutationSideEffect(name, name, lambda _, e, name=name: seen.append((name, e.record_name)))  # type: ignore[misc]
            for name in ("A", "Both")
        ],
    )
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create("A", {"n": 1})
    storage.create("B", {"n": 1})
    controller.dispatch(change, {"n": 2}).raise_for_error()
    assert storage.find("A", attribute_query=["state"]) == [{"id": 1, "state": "high"}]
    assert sorted(seen) == [("A", "Both")] * 2 + [("Both", "Both")] * 3  # two updates and a state
    storage.update("Both", {"id": 1}, {"n": 3})
    assert storage.find("A", attribute_query=["state"]) == [{"id": 1, "state": "low"}]


def _entity(name: str, *properties: iq.Property, **options: Any) -> iq.Entity:
    return iq.Entity(name, properties, **options)


_N = iq.Property("n", int)


@behaviour("S-A54")
@pytest.mark.parametrize(
    ("entities", "expected"),
    [
        (
            [_entity("A", _N), _entity("B", iq.Property("n", str)), _entity("M", input_entities=["A", "B"])],
            "declare it with different types",
        ),
        (
            [_entity("A", _N), _entity("B"), _entity("M", input_entities=["A", "B"], common_properties=[_N])],
            "M.n is a common property, but B lacks it",
        ),
        (
            [_entity("A", _N), _entity("M", input_entities=["A"], common_properties=[iq.Property("n", str)])],
            "but A declares it with another type",
        ),
        ([_entity("A", _N), _entity("M", _N, input_entities=["A"])], "declare properties= there"),
        ([_entity("M", input_entities=["A"])], "its input 'A' is not an entity of the same call"),
        ([_entity("A", common_properties=[_N])], "give input_entities="),
        (
            [_entity("A"), _entity("M", input_entities=["A"]), _entity("L", input_entities=["A"])],
            "its input 'A' is an input of 'M' too",
        ),
        (
            [
                _entity("A", iq.Property("n", int, nullable=False)),
                _entity("B"),
                _entity("M", input_entities=["A", "B"]),
            ],
            "A requires it, but rows of other inputs of M have no value",
        ),
        ([_entity("A", iq.Property("record_type", str)), _entity("M", input_entities=["A"])], "rename it"),
        ([_entity("M", input_entities=["L"]), _entity("L", input_entities=["M"])], "it is an input of itself"),
        (
            [_entity("A", iq.Property("n", int), identity=["n"]), _entity("M", input_entities=["A"])],
            "'A' has identity=, but rows of other inputs of 'M' have no values there",
        ),
        ([_entity("A"), _entity("M", input_entities=["A"], identity=["n"])], "declare identity= there"),
        (
            [_entity("A"), _entity("M", input_entities=["A"], retention=iq.Retention(max_rows=1))],
            "declare retention= there",
        ),
        (
            [
                _entity("A"),
                _entity("M_base"),
                _entity("F", base_entity="A", match_expression={"id": 1}),
                _entity("M", input_entities=["F"]),
            ],
            "needs the name 'M_base'",
        ),
        ([_entity("A", table_name="a"), _entity("M", input_entities=["A"])], "give table_name= and table_args= there"),
    ],
)
def test_invalid_merged_entities_are_refused(entities: list[iq.Entity], expected: str) -> None:
    class Base(DeclarativeBase):
        pass

    with pytest.raises(iq.DefinitionError) as caught:
        iq.compile_schema(Base, entities=entities)
    assert any(expected in str(fault) for fault in caught.value.exceptions), caught.value.exceptions
    assert not Base.metadata.tables


@behaviour("S-A54")
def test_inputs_may_be_merged_and_filtered(engine: Engine) -> None:
    entities = [
        iq.Entity("Cat", [iq.Property("name", str), iq.Property("lives", int, default=9)]),
        iq.Entity("Dog", [iq.Property("name", str), iq.Property("size", int)]),
        iq.Entity("Rock", [iq.Property("weight", int)]),
        iq.Entity("Pet", input_entities=["Cat", "Dog"], common_properties=[iq.Property("name", str)]),
        iq.Entity("BigDog", base_entity="Dog", match_expression={"size": (">", 5)}),
        iq.Entity("NamedPet", base_entity="Pet", match_expression=iq.MatchExp.atom("name", ("!=", None))),
        iq.Entity("Heavy", input_entities=["BigDog", "Rock", "NamedPet"]),
    ]
    owners = iq.Relation(source="Pet", source_property="owner", target="Owner", target_property="pets", type="n:1")
    entities.append(iq.Entity("Owner", [iq.Property("pet_count", int, computation=iq.Count("pets"))]))
    system = iq.System(engine)
    count = iq.Dictionary("heavy", int, computation=iq.Count("Heavy"))
    controller = iq.Controller(system, entities=entities, relations=[owners], dictionaries=[count])
    controller.setup(install=True)
    storage = system.storage
    heard: list[str] = []
    names = {entity.name for entity in entities} | {"Heavy_base"}
    storage.listen(
        lambda _, events: heard.extend(f"{e.type} {e.record_name}" for e in events if e.record_name in names)
    )

    def told(write: Any) -> list[str]:
        heard.clear()
        write()
        return [event for event in heard if "Owner" not in event]

    created = ["create Heavy_base", "create Pet", "create Cat"]
    assert told(lambda: storage.create("Cat", {"owner": {}})) == created
    grown = ["create Heavy_base", "create Pet", "create Dog", "create BigDog", "create Heavy"]
    assert told(lambda: storage.create("Dog", {"size": 9, "owner": {"id": 1}})) == grown
    assert told(lambda: storage.create("Rock", {"weight": 1})) == ["create Heavy_base", "create Rock", "create Heavy"]
    found = storage.find("Heavy", attribute_query=["record_type", "size", "weight"], order_by={"id": "ASC"})
    assert found == [
        {"id": 2, "record_type": "Dog", "size": 9, "weight": None},
        {"id": 3, "record_type": "Rock", "size": None, "weight": 1},
    ]
    named = told(lambda: storage.update("Pet", {"record_type": "Cat"}, {"name": "Tom"}))
    assert named == ["update Heavy_base", "create NamedPet", "create Heavy"]
    assert storage.find_one("Cat", attribute_query=["*"]) == {
        "id": 1,
        "record_type": "Cat",
        "name": "Tom",
        "lives": 9,
        "owner_id": 1,
    }
    assert storage.dictionary.get("heavy") == 3
    assert storage.find("Owner", attribute_query=["pet_count"]) == [{"id": 1, "pet_count": 2}]
    shrunk = told(lambda: storage.update("BigDog", {"id": 2}, {"size": 1}))
    assert shrunk == ["update Heavy_base", "delete BigDog", "delete Heavy"]
    with pytest.raises(iq.FrameworkError, match="Rock has no attribute 'owner"):
        storage.create("Rock", {"owner": {"id": 1}})
    with pytest.raises(iq.FrameworkError, match="is not created by itself; create"):
        storage.create("Heavy", {"name": "x"})
    deleted = told(lambda: storage.delete("Heavy", {"id": 1}))
    assert deleted == ["delete Heavy", "delete NamedPet", "delete Cat", "delete Pet", "delete Heavy_base"]
    assert system.check().ok
    assert iq.compile_schema(system.metadata, entities=entities, relations=[owners]).metadata is system.metadata


@behaviour("S-A52")
def test_classes_of_inputs_are_selected_and_written(system: iq.System, storage: iq.Storage) -> None:
    contact, customer, supplier = (system.schema.mapped_class(name) for name in ("Contact", "Customer", "Supplier"))
    with system.session_factory.begin() as session:
        session.add_all([customer(name="a"), supplier(name="b", vat="v")])
        session.flush()
        session.execute(insert(customer), [{"name": "c"}, {"name": "d", "city": "Bern"}])
        session.execute(update(customer).values(rating=5))
        found = session.scalars(select(contact).order_by(contact.id)).all()
        assert [type(one) for one in found] == [customer, supplier, customer, customer]
        assert [one.city for one in found] == ["Rome", "Oslo", "Rome", "Bern"]
        with pytest.raises(AttributeError, match="Customer has no attribute 'vat'"):
            found[0].vat = "x"
        assert session.scalars(select(supplier.vat)).all() == ["v"]
    assert [storage.count(name) for name in ("Roman", "GoodCustomer", "Card")] == [2, 3, 4]
    assert system.check().ok


@behaviour("S-A52", "S-A53")
@pytest.mark.parametrize("seed", range(2))
def test_values_over_merged_entities_equal_a_naive_comparison(system: iq.System, seed: int) -> None:
    rng, storage = random.Random(seed), system.storage
    events: list[iq.MutationEvent] = []
    storage.listen(lambda _, told: events.extend(told))
    counts = {"Contact": 0, "Customer": 0, "Supplier": 0, "Roman": 0, "GoodCustomer": 0}
    classes = {name: system.schema.mapped_class(name) for name in ("Contact", "Customer", "Supplier")}

    def ids(record: str) -> list[Any]:
        return [row["id"] for row in storage.find(record)] or [0]

    def bulk(name: str) -> None:
        with system.session_factory.begin() as session:
            cls = classes[name]
            session.execute(
                update(cls).where(cls.id.in_(rng.sample(ids(name), 1))).values(city=rng.choice(["Rome", "x"]))
            )

    writes: list[Any] = [
        lambda n: storage.create("Customer", {"name": f"c{n}", "rating": rng.randint(1, 6), "orders": [{"total": n}]}),
        lambda n: storage.create("Supplier", {"name": f"s{n}", "city": rng.choice(["Rome", "x"]), "offers": [{}]}),
        lambda _: storage.update("Contact", {"id": rng.choice(ids("Contact"))}, {"city": rng.choice(["Rome", "x"])}),
        lambda _: storage.update("Customer", {"id": rng.choice(ids("Contact"))}, {"rating": rng.randint(1, 6)}),
        lambda _: storage.delete(rng.choice(["Contact", "Customer", "Supplier"]), {"id": rng.choice(ids("Contact"))}),
        lambda _: bulk(rng.choice(["Contact", "Customer", "Supplier"])),
        lambda _: storage.delete("Order", {"id": rng.choice(ids("Order"))}),
    ]
    for n in range(40):
        rng.choice(writes)(n)
        for event in events:
            if event.record_name in counts and event.type != "update":
                counts[event.record_name] += 1 if event.type == "create" else -1
            assert event.type != "update" or event.record_name not in ("Customer", "Supplier")
        events.clear()
        rows = storage.find("Contact", attribute_query=["record_type", "city", "rating"])
        expected = {
            "Contact": len(rows),
            "Customer": sum(row["record_type"] == "Customer" for row in rows),
            "Supplier": sum(row["record_type"] == "Supplier" for row in rows),
            "Roman": sum(row["city"] == "Rome" for row in rows),
            "GoodCustomer": sum((row["rating"] or 0) > 3 for row in rows),
        }
        assert counts == expected == {name: storage.count(name) for name in counts}
        assert storage.dictionary.get("customers") == expected["Customer"]
        assert storage.dictionary.get("romans") == expected["Roman"]
    assert system.check().ok


@behaviour("S-A44", "S-A52")
def test_payloads_refer_to_members_and_inputs(engine: Engine) -> None:
    def interaction(base: str) -> iq.Interaction:
        item = iq.PayloadItem("who", base=base, is_ref=True)
        return iq.Interaction(f"call{base}", action=iq.Action("call"), payload=iq.Payload(items=[item]))

    given = {name: interaction(name) for name in ("Customer", "Contact", "Roman")}
    controller = iq.Controller(
        iq.System(engine), entities=_ENTITIES, relations=_RELATIONS, event_sources=list(given.values())
    )
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create("Customer", {"name": "a"})
    storage.create("Supplier", {"name": "b"})
    expected = {
        ("Customer", 1): True,
        ("Customer", 2): False,
        ("Contact", 2): True,
        ("Roman", 1): True,
        ("Roman", 2): False,
    }
    found = {
        (name, id): controller.dispatch(given[name], {"user": {"id": 1}, "payload": {"who": {"id": id}}}).ok
        for name, id in expected
    }
    assert found == expected
