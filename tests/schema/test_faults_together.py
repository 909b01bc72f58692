"""Faults of definitions and of computations come together; what is unknown because of one is not a second fault."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, create_engine, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Any as AnyOf
from interaqt_sa import (
    Average,
    Controller,
    Count,
    DefinitionError,
    Dictionary,
    Entity,
    EventSource,
    Every,
    Property,
    Relation,
    StateMachine,
    StateNode,
    StateTransfer,
    Summation,
    System,
    Transform,
    Trigger,
    UniqueConstraint,
    compile_schema,
    computed,
)
from tests.support.statements import count_statements

WRONG = Entity("Wrong", [Property("kind", "integer")])
"""What makes a compilation fail, so that nothing is mapped."""


def faults_of(base: Any = None, **given: Any) -> list[str]:
    """Return the faults that come with the one of WRONG."""
    with pytest.raises(DefinitionError) as caught:
        compile_schema(MetaData() if base is None else base, **{**given, "entities": [*given["entities"], WRONG]})
    faults = [str(fault) for fault in caught.value.exceptions]
    own = [fault for fault in faults if fault.startswith("Wrong.kind: ")]
    assert len(own) == 1, faults
    return [fault for fault in faults if fault not in own]


def shop(*of_order: Property, of_item: tuple[Property, ...] = (), **of_entity: Any) -> dict[str, Any]:
    order = Entity("Order", [Property("status", str), *of_order])
    item = Entity("Item", [Property("price", Decimal), Property("active", bool), Property("note", str), *of_item])
    product = Entity("Product", [Property("weight", float), Property("tags", str, collection=True)], **of_entity)
    return {
        "entities": [order, item, product],
        "relations": [
            Relation(source=order, source_property="items", target="Item", target_property="order", type="1:n"),
            Relation(source="Item", source_property="product", target=product, target_property="items", type="n:1"),
            Relation(
                source="Order",
                source_property="tags",
                target="Product",
                target_property="orders",
                type="n:n",
                name="Tagging",
                properties=[Property("mark", int), Property("n", int, computation=Count("wrong"))],
            ),
        ],
    }


def value(computation: Any, kind: Any = int, **kw: Any) -> Property:
    return Property("value", kind, computation=computation, **kw)


LINK = "Tagging.n: 'wrong' is not a relationship of Tagging; did you mean 'source', 'target'?"

pending, done = StateNode("pending"), StateNode("done")


def machine(trigger: Trigger, **kw: Any) -> StateMachine:
    step = StateTransfer(current=pending, next=done, trigger=trigger, **kw)
    return StateMachine(states=[pending, done], transfers=[step], initial_state=pending)


@pytest.mark.parametrize(
    ("prop", "faults"),
    [
        (value(Count("itmes")), ["'itmes' is not a relationship of Order; did you mean 'items'?"]),
        (value(Count(Decimal)), ["is not a relationship of Order; a whole table is computed into a Dictionary"]),
        (value(Count("items", where={"pric": 3})), ["'pric': Item has no column attribute 'pric'; it has price"]),
        (value(Count("items", where={"items.price": 3})), ["'items' is not a relationship of Item; did you"]),
        (value(Count("items", where={"order.items.price": 3})), ["'items' does not refer to one row by a foreign key"]),
        (value(Count("items", where={"&.mark": 3})), ["link data is reached through the link record's own"]),
        (value(Count("items", where={"product.wieght": 3})), ["Product has no column attribute 'wieght'; it has weig"]),
        (value(Count("items", where={"price": "three"})), ["'price' is Numeric() and never 'three'; give a value"]),
        (value(Count("items", where={"price": ("contains", 3)})), ["'contains' needs a collection; price is"]),
        (value(Count("items", where={"order": ("exist", {"status": "x"})})), ["order: 'exist' is not possible here"]),
        (value(Count("items", where={"price": ("~", 3)})), ["price: unknown operator '~'"]),
        (value(Count("items", where={})), ["would match everything"]),
        (value(Count("items", where=lambda item: item.pric == 3)), ["type object 'Item' has no attribute 'pric'"]),
        (value(Count("items", where=lambda item: item.price is None)), ["gave False, which is not a SQL expression"]),
        (
            value(Count("items", where={"pric": 3, "price": "three", "active": ("~", 3), "note": "fine"})),
            ["no column attribute 'pric'", "never 'three'", "unknown operator '~'"],
        ),
        (value(Summation("items", "pirce"), "number"), ["'pirce': Item has no column attribute 'pirce'; it has price"]),
        (value(Summation("items", "note"), Decimal), ["'note' is Text(), which cannot be summed"]),
        (value(Summation("items", "price"), str), ["Summation needs a column of type Integer, Numeric, Float, not T"]),
        (value(Summation("items", "price")), ["would round the sum of 'price'"]),
        (value(Average("items", "product.wight")), ["Average needs a column of type", "no column attribute 'wight'"]),
        (
            value(Every("items", expression={"actve": True}), bool),
            ["Item has no column attribute 'actve'; it has acti"],
        ),
        (value(AnyOf("items", lambda i: i.x, attribute_query=["x", "price", "*"]), bool), ["no column attribute 'x'"]),
        (
            value(
                Count("items", callback=bool, attribute_query=[("product", ["w"]), ("order", {"attribute_query": []})])
            ),
            ["'product.w': Product has no column attribute 'w'"],
        ),
        (value(Count("items", callback=bool, attribute_query=[("prod", [])])), ["'prod' is not a relationship of It"]),
        (value(Count("items", callback=bool, attribute_query=[3])), ["attribute_query holds 3; give names"]),
        (
            value(machine(Trigger("Ordr")), str),
            ["there is no record 'Ordr'; did you mean 'Order'", "give compute_targ"],
        ),
        (
            value(machine(Trigger("Order", "update", keys=["stats"]), compute_target=lambda _, e: e), str),
            ["the trigger's keys ['stats'] are not attributes of Order"],
        ),
        (
            value(machine(Trigger(EventSource("pay", entity=Entity("Pay"))), compute_target=lambda _, e: e), str),
            ["to event_sources of a controller"],
        ),
    ],
)
def test_computations_beside_a_faulty_definition(prop: Property, faults: list[str]) -> None:
    found = faults_of(**shop(prop))
    assert LINK in found
    found.remove(LINK)
    assert len(found) == len(faults), found
    for fault in faults:
        assert [shown for shown in found if shown.startswith("Order.value: ") and fault in shown], found


def test_derived_rows_and_dictionaries_beside_a_faulty_definition() -> None:
    given = shop(computation=Transform("Item", dict, attribute_query=["price", "prise"]))
    given["entities"].append(Entity("Log", computation=Transform(event_deps={"a": Trigger("Itm")}, callback=dict)))
    taken = [Property("_transform__source", str)]
    given["entities"].append(Entity("Copy", taken, computation=Transform("Itm", dict)))
    given["dictionaries"] = [
        Dictionary("orders", int, computation=Count("Ordr")),
        Dictionary("spent", int, computation=Count("Item", where={"prise": 1})),
        Dictionary("mean", str, computation=Average(WRONG, "kind")),
    ]
    found = faults_of(**given)
    found.remove(LINK)
    assert [fault.partition(";")[0] for fault in found] == [
        "Product: attribute_query names ['prise'], which Item does not have",
        "Log: there is no record 'Itm'",
        "Copy: Transform keeps its state in a column '_transform__source', but table 'copy' declares one of that name",
        "Copy: there is no record 'Itm'",
        "Dictionary 'orders': there is no record 'Ordr'",
        "Dictionary 'spent': 'prise': Item has no column attribute 'prise'",
        "Dictionary 'mean': Average needs a column of type Numeric, Float, not Text()",
    ]


def test_what_depends_on_a_fault_is_no_fault() -> None:
    lost = Entity("Lost", [Property("n", int), Property("bad", "x")])
    entities = [
        Entity(
            "Host",
            [
                Property("a", int, computation=Count("wrongs", where={"kind": 3, "host.g": 1})),
                Property("b", int, computation=Summation("wrongs", "kind")),
                Property("c", int, computation=Count("nowhere", where={"x.y": 3})),
                Property("d", int, computation=Count("odd", where={"id": 3})),
                Property("e", bool, computation=Every("odd", expression={"id": 3})),
                Property("f", int, computation=Count("losts", where={"n": "three"})),
                Property("g", int, computation=Count("wrongs", where=lambda wrong: wrong.kind == 1)),
                Property(
                    "h", str, computation=machine(Trigger("Lost", keys=["z"], type="update"), compute_target=dict)
                ),
                Property("i", int, computation=Count("wrongs", where={"host_id": 3, "id": 4, "host.c": 3})),
            ],
        ),
        lost,
        Entity("Lost", [Property("n", str)]),
        Entity("Copy", computation=Transform(WRONG, dict, attribute_query=["kind"])),
    ]

    def to(attribute: str, target: Any, type: Any = "1:n") -> Relation:
        return Relation(source="Host", source_property=attribute, target=target, target_property="host", type=type)

    relations = [to("wrongs", WRONG), to("nowhere", "Nowhere"), to("odd", "Copy", "n:m"), to("losts", lost)]
    assert [fault.partition(";")[0] for fault in faults_of(entities=entities, relations=relations)] == [
        "Entity 'Lost' is given twice",
        "Relation 'Host_odd_host_Copy': type 'n:m' is not one of '1:1', '1:n', 'n:1', 'n:n'",
        "Lost.bad: there is no type 'x'",
        "Relation 'Host_nowhere_host_Nowhere', target: there is no record 'Nowhere'",
    ]


def test_a_constraint_over_what_is_at_fault_is_no_fault() -> None:
    host = Entity(
        "Host",
        [Property("kind", "x"), Property("n", int)],
        constraints=[
            UniqueConstraint("one", ["kind"]),
            UniqueConstraint("two", ["owner"]),
            UniqueConstraint("three", ["n"], where=lambda host: host.kind == 1),
            UniqueConstraint("four", ["n"], where={"knd": 1}),
        ],
    )
    owner = Relation(source=host, source_property="owner", target="Nobody", target_property="hosts", type="n:1")
    assert [fault.partition(";")[0] for fault in faults_of(entities=[host], relations=[owner])] == [
        "Host.kind: there is no type 'x'",
        "Relation 'Host_owner_hosts_Nobody', target: there is no record 'Nobody'",
        "Host, constraint 'four': there is no property 'knd'",
    ]


def test_all_parts_of_a_constraint() -> None:
    parts = UniqueConstraint("u", ["x", "y"], where={"z": 1, "n": "three", "s": ("~", 1), "t": None})
    host = Entity("Host", [Property("n", int), Property("s", str), Property("t", str)], constraints=[parts])
    assert [fault.partition(";")[0] for fault in faults_of(entities=[host])] == [
        "Host, constraint 'u': there is no property 'x'",
        "Host, constraint 'u': there is no property 'y'",
        "Host, constraint 'u': there is no property 'z'",
        "Host, constraint 'u': 'n' is BigInteger() and never 'three'",
        "Host, constraint 'u': s: unknown operator '~'",
    ]


def test_computations_of_faulty_properties() -> None:
    """What is wrong with a property does not hide what is wrong with its computation."""
    properties = [
        Property("a", "x", computation=Count("nope")),
        Property("b", int, default=1, computation=Count("nope")),
        Property("c d", int, computation=Count("nope")),
    ]
    values = [Dictionary("d", "x", computation=Count("Nope"))]
    found = faults_of(entities=[Entity("Host", properties)], dictionaries=values)
    assert [fault.partition(";")[0] for fault in found if "nope" in fault.lower()] == [
        "Host.a: 'nope' is not a relationship of Host",
        "Host.b: 'nope' is not a relationship of Host",
        "Host.c d: 'nope' is not a relationship of Host",
        "Dictionary 'd': there is no record 'Nope'",
    ]
    assert len(found) == 8


def test_functions_may_do_with_a_class_what_they_like() -> None:
    """What stands for a class that is not mapped yet has columns only: all else is left for later."""
    functions = [
        lambda item: item.__table__.c.price == 1,
        lambda item: inspect(item).columns.price == 1,
        lambda item: item.product.has(),
        lambda item: item.order_id == 3,
    ]
    for function in functions:
        assert faults_of(**shop(value(Count("items", where=function)))) == [LINK]


def test_relations_in_the_wrong_place_are_known_nevertheless() -> None:
    given = shop(value(Count("bits", where={"x": 1})))
    bits = Relation(source="Order", source_property="bits", target="Item", target_property="whole", type="1:n")
    given["entities"].append(bits)
    assert faults_of(**given) == ["Relation 'Order_bits_whole_Item' is not an Entity", LINK]
    twice = Relation(
        source="Order", source_property="bits", target="Item", target_property="whole", type="1:n", name="Tagging"
    )
    given["entities"].pop()
    given["relations"].append(twice)
    assert faults_of(**given) == ["Relation 'Tagging' is given twice; names of records are unique", LINK]


def test_circles_beside_a_faulty_definition() -> None:
    below = {"whole.below": (">", 1)}
    given = shop(
        value(Count("items", where={"order.other": 3})),
        Property("other", int, computation=Count("items", callback=bool, attribute_query=[("order", ["*"])])),
        Property("linked", int, computation=Summation("tags_links", "source.linked")),
        Property("fine", int, computation=Count("parts", where=below)),
        Property("below", int, computation=Count("parts", where={"status": "x", "parts_of.below": 1})),
        Property("above", int, computation=Count("whole", where={"whole.above": 1})),
    )
    given["relations"].append(
        Relation(source="Order", source_property="parts", target="Order", target_property="whole", type="1:n")
    )
    found = [fault for fault in faults_of(**given) if "computed from itself" in fault]
    assert sorted(fault.partition(", by way")[0] for fault in found) == [
        "Order.linked is computed from itself: Order.linked -> Order.linked",
        "Order.other is computed from itself: Order.other -> Order.other",
        "Order.value is computed from itself: Order.value -> Order.other -> Order.value",
    ]


def test_definitions_of_earlier_calls_may_wait_for_later_ones() -> None:
    metadata = MetaData()
    host = Entity("Host", [Property("n", int, computation=Count("parts"))])
    compile_schema(metadata, entities=[host], dictionaries=[Dictionary("d", int, computation=Count("Part"))])
    assert faults_of(metadata, entities=[]) == []
    parts = Relation(source=host, source_property="parts", target="Part", target_property="host", type="1:n")
    compile_schema(metadata, entities=[Entity("Part")], relations=[parts])
    assert System(create_engine("sqlite://"), base=metadata).storage.schema.computations


def test_a_relation_without_rows_is_no_record() -> None:
    given = shop()
    given["dictionaries"] = [Dictionary("n", int, computation=Count("Order_items_order_Item"))]
    assert (
        "Dictionary 'n': relation 'Order_items_order_Item' has no rows of its own, a foreign key holds it; write its "
        "property on either end instead" in faults_of(**given)
    )


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    bills: Mapped[list[Bill]] = relationship(back_populates="customer")
    n_bills: Mapped[int] = computed(Count("bils", where={"x": 1}))
    n_orders: Mapped[int] = computed(Count("orders", where={"statsu": 1}))
    n_visits: Mapped[str] = computed(Count("bills", where={"amount": "x", "paid": True}))


class Bill(Base):
    __tablename__ = "bill"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship(back_populates="bills")


OF_CUSTOMERS = Relation(
    source="Order", source_property="customer", target=Customer, target_property="orders", type="n:1"
)
EXPECTED = [
    "Customer.n_bills: 'bils' is not a relationship of Customer",
    "Customer.n_orders: 'statsu': Order has no column attribute 'statsu'",
    "Customer.n_visits: 'amount' is Integer() and never 'x'",
    "Customer.n_visits: 'paid': Bill has no column attribute 'paid'",
    "Customer.n_visits: Count needs a column of type Integer, Numeric, Float, not String()",
    "Order.n: 'customr' is not a relationship of Order",
    "Order.value: 'customer.nme': Customer has no column attribute 'nme'",
]


def test_classes_and_definitions_that_refer_to_each_other() -> None:
    order = Entity(
        "Order",
        [
            Property("status", str),
            Property("n", int, computation=Count("customr")),
            Property("value", int, computation=Count("parts", where={"customer.nme": "x", "customer.name": "y"})),
        ],
    )
    parts = Relation(source=order, source_property="parts", target=order, target_property="whole", type="1:n")
    found = faults_of(Base, entities=[order], relations=[OF_CUSTOMERS, parts])
    assert sorted(fault.partition(";")[0] for fault in found) == EXPECTED
    assert list(Base.metadata.tables) == ["customer", "bill"], "nothing was added"


def test_a_controller_tells_all_kinds_of_faults_at_once() -> None:
    order = Entity("Order", [Property("n", int, computation=Count("customr")), Property("__dict__", int)])
    engine = create_engine("sqlite://")
    with count_statements(engine) as statements, pytest.raises(DefinitionError) as caught:
        Controller(
            System(engine, base=Base),
            entities=[order],
            relations=[OF_CUSTOMERS],
            event_sources=[EventSource("e", entity="Nothing"), EventSource("e", entity=Entity("E"))],
        )
    engine.dispose()
    assert statements == []
    assert sorted({fault.partition(": ")[0] for fault in map(str, caught.value.exceptions)}) == [
        "Customer.n_bills",
        "Customer.n_orders",
        "Customer.n_visits",
        "Order.__dict__",
        "Order.n",
        "entity of 'e'",
        "event source 'e' is given twice; names are unique",
    ]


def test_classes_that_wait_for_others_are_left_alone() -> None:
    """SQLAlchemy would give them up for good, were it asked to configure them too early."""

    class Local(DeclarativeBase):
        pass

    class Parent(Local):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list[Child]] = relationship(back_populates="parent")  # type: ignore[name-defined]
        first: Mapped[Any] = relationship(lambda: Child, viewonly=True)
        n: Mapped[int] = computed(Count("children", where={"name": "x"}))
        wrong: Mapped[str] = computed(Count("wrong"))

    found = faults_of(Local, entities=[Entity("E", [Property("n", int, computation=Count("es"))])])
    assert [fault.partition(";")[0] for fault in found] == [
        "E.n: 'es' is not a relationship of E",
        "Parent.wrong: Count needs a column of type Integer, Numeric, Float, not String()",
    ]
    events = [EventSource("e", entity=Entity("E")), EventSource("e", entity=Entity("E"))]
    with pytest.raises(DefinitionError, match="event source 'e' is given twice"):
        Controller(System(create_engine("sqlite://"), base=Local), event_sources=events)

    class Child(Local):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
        parent: Mapped[Parent] = relationship(back_populates="children")

    Local.registry.configure()
    found = faults_of(Local, entities=[])
    assert "Parent.wrong: 'wrong' is not a relationship of Parent; did you mean" in "".join(found)
