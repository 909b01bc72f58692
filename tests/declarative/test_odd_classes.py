"""Classes with more than columns and relationships, and columns that cannot hold what is computed into them."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from sqlalchemy import Computed, Engine, Enum, ForeignKey, Identity, Integer, String, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship, sessionmaker

from interaqt_sa import (
    Controller,
    Count,
    DefinitionError,
    Entity,
    EventSource,
    StateMachine,
    StateNode,
    StateTransfer,
    System,
    Transform,
    Trigger,
    computed,
)


def test_sql_expressions_are_left_out_of_what_functions_read(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Order(Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        dear: Mapped[int] = computed(Count("items", callback=lambda item: item.price > 5, attribute_query=["*"]))

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
        price: Mapped[int]

    Item.double = column_property(Item.price * 2)  # type: ignore[attr-defined]

    class Mixin:
        __computation__ = Transform(Item, lambda item: {"price": item.price})

    class Copy(Mixin, Base):
        __tablename__ = "copy"
        id: Mapped[int] = mapped_column(primary_key=True)
        price: Mapped[int]

    factory = sessionmaker(engine)
    system = System(factory, base=Base)
    Base.metadata.create_all(engine)
    with factory.begin() as session:
        order = Order(items=[Item(price=3), Item(price=7)])
        session.add(order)
        session.flush()
        assert order.dear == 1
        assert sorted(copy.price for copy in session.query(Copy)) == [3, 7]
    assert system.check().ok


def faults_of(*columns: Any, rows: Any = None) -> str:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Member]] = relationship()
        value: Mapped[Any] = computed(*columns) if columns else mapped_column(Integer)
        if rows is not None:
            __computation__ = rows

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))

    with pytest.raises(DefinitionError) as caught:
        System(create_engine("sqlite://"), base=Base).check()
    (fault,) = caught.value.exceptions
    return str(fault)


class Color(enum.Enum):
    RED = 1


OPEN, CLOSED = StateNode("open"), StateNode("closed")
MACHINE = StateMachine(states=[OPEN, CLOSED], transfers=[], initial_state=OPEN)


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        (
            (MACHINE, Integer),
            "Host.value: a StateMachine stores the names of its states: give a type of text or an Enum, not",
        ),
        ((MACHINE, String(5)), "String(length=5) is too short for the state 'closed'"),
        ((MACHINE, Enum("open", "shut", name="s")), "has no values for the states ['closed']"),
        ((MACHINE, Enum(Color, name="c")), "has no values for the states ['open', 'closed']"),
        ((Count("members"), Integer, Computed("id + 1")), "the database computes this column by itself; leave"),
        ((Count("members"), Integer, Identity()), "the database computes this column by itself; leave"),
    ],
)
def test_columns_that_cannot_hold_a_value(columns: tuple[Any, ...], fault: str) -> None:
    assert fault in faults_of(*columns)


def test_only_a_transform_derives_rows() -> None:
    assert "Host: __computation__ derives whole rows: it must be a Transform, not Count(" in faults_of(
        rows=Count("members")
    )


def test_a_missing_event_source_hides_nothing() -> None:
    class Base(DeclarativeBase):
        pass

    pay = EventSource("pay", Entity("Payment"))

    class Order(Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str] = computed(
            StateMachine(
                states=[OPEN, CLOSED],
                initial_state=OPEN,
                transfers=[
                    StateTransfer(current=OPEN, next=CLOSED, trigger=Trigger(pay)),
                    StateTransfer(
                        current=CLOSED,
                        next=OPEN,
                        trigger=Trigger("Order", "update", keys=["statsu"]),
                        compute_target=lambda _, event: event.record["id"],
                    ),
                ],
            )
        )

    with pytest.raises(DefinitionError) as caught:
        Controller(System(create_engine("sqlite://"), base=Base)).setup()
    faults = sorted(str(fault) for fault in caught.value.exceptions)
    assert [fault.partition("; ")[0] for fault in faults] == [
        "Order.status: a trigger waits for EventSource('pay'), which is not an event source of a controller",
        "Order.status: the transfer open -> closed does not say which rows move",
        "Order.status: the trigger's keys ['statsu'] are not attributes of Order",
    ]


def test_all_that_is_wrong_with_one_value() -> None:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Member]] = relationship()
        value: Mapped[str] = computed(
            Count("members", where=lambda _: Host.id > 3, callback=bool, attribute_query=["nope", "loose.id"])
        )

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
        loose: Mapped[Host] = relationship(primaryjoin="foreign(Member.id) == Host.id", viewonly=True)

    with pytest.raises(DefinitionError) as caught:
        System(create_engine("sqlite://"), base=Base).check()
    assert [str(fault).partition("; ")[0].partition(", so that")[0] for fault in caught.value.exceptions] == [
        "Host.value: Count needs a column of type Integer, Numeric, Float, not String()",
        "Host.value: host.id > :id_1 reads host.id, which is not a column of Member",
        "Host.value: 'nope': Member has no column attribute 'nope'",
        "Host.value: the path to Host does not follow a foreign key",
    ]
