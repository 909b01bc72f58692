"""Values that are computed from themselves never settle: refused before any SQL. Other rows are not a cycle."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.test_refused_declarations import faults_of


def declare(**computations: iq.Computation[Any]) -> tuple[Any, Any, Any]:
    """Return a base with orders, whose values are `computations`, and their items: base, order and item."""

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
        amount: Mapped[int]
        order: Mapped[Any] = relationship("Order", back_populates="items")

    columns = {name: iq.computed(computation) for name, computation in computations.items()}
    annotations = dict.fromkeys(columns, Mapped[int]) | {"id": Mapped[int], "items": Mapped[list[Any]]}
    attributes = {"id": mapped_column(primary_key=True), "items": relationship(Item, back_populates="order")}
    body = {"__tablename__": "order_", "__annotations__": annotations, **attributes, **columns}
    return Base, type("Order", (Base,), body), Item


def test_a_sum_over_members_that_look_at_it() -> None:
    base, *_models = declare(total=iq.Summation("items", "amount", where={"order.total": ("<", 100)}))
    (fault,) = faults_of(base)
    assert "Order.total is computed from itself: Order.total -> Order.total" in fault


def test_a_callback_that_gets_it() -> None:
    count = iq.Count("items", callback=lambda item: item.order.total, attribute_query=[("order", ["total"])])
    base, *_models = declare(total=count)
    (fault,) = faults_of(base)
    assert "let the members contribute a value that does not depend on it" in fault


def test_two_values_that_wait_for_each_other() -> None:
    few = iq.Count("items", where={"order.many": ("<", 3)})
    many = iq.Count("items", where={"order.few": (">", 3)})
    base, *_models = declare(few=few, many=many)
    faults = faults_of(base)
    assert len(faults) == 2
    assert "Order.few -> Order.many -> Order.few" in faults[0]


def test_a_value_that_builds_on_another_of_its_row(engine: Engine) -> None:
    base, order, item = declare(
        total=iq.Summation("items", "amount"), counted=iq.Count("items", where={"order.total": (">=", 10)})
    )
    system = iq.System(engine, base=base)
    base.metadata.create_all(engine)
    with system.session_factory() as session:
        found = order(id=1)
        session.add_all([found, item(id=1, order=found, amount=4), item(id=2, order=found, amount=7)])
        session.commit()
        assert (found.total, found.counted) == (11, 2)
        found.items[0].amount = 2
        session.commit()
        assert (found.total, found.counted) == (9, 0)
    assert system.check().ok


def test_a_tree_that_looks_at_values_of_children(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Node(Base):
        __tablename__ = "node"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
        below: Mapped[int] = iq.computed(
            iq.Count("children", callback=lambda node: node.below == 0, attribute_query=["below"])
        )
        children: Mapped[list[Any]] = relationship("Node")

    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        session.add_all([Node(id=1), Node(id=2, parent_id=1), Node(id=3, parent_id=2)])
    with system.session_factory() as session:
        assert [session.get_one(Node, n).below for n in (1, 2, 3)] == [0, 1, 0]
