"""A member whose key changes, in whole or in part, counts once: for hosts that it keeps, leaves and comes to."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any, TypeAlias

import pytest
from sqlalchemy import ForeignKey, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

from interaqt_sa import Average, Count, Every, Summation, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Order(Base):
    """Its lines know it by the first part of their key."""

    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    lines: Mapped[list[Line]] = relationship(back_populates="order", cascade="all, delete-orphan")
    line_count: Mapped[int] = computed(Count("lines"))
    quantity: Mapped[int] = computed(Summation("lines", "quantity"))
    worth: Mapped[Decimal] = computed(Summation("lines", "product.price"))
    small: Mapped[bool] = computed(
        Every(
            "lines",
            lambda line: line.quantity < 5 and line.product.price < 4,
            attribute_query=["quantity", "product.price"],
        )
    )


class Product(Base):
    """Knows its lines by the second part; one way only."""

    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[Decimal]
    lines: Mapped[list[Line]] = relationship(cascade="save-update")
    line_count: Mapped[int] = computed(Count("lines", where={"quantity": (">", 1)}))
    sold: Mapped[int] = computed(Summation("lines", "quantity"))
    mean: Mapped[float] = computed(Average("lines", "quantity"))


class Line(Base):
    __tablename__ = "line"
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    twice: Mapped[int] = computed(lambda line: 2 * line.quantity)
    order: Mapped[Order] = relationship(back_populates="lines")
    product: Mapped[Product] = relationship(overlaps="lines")


class Customer(Base):
    """Second level."""

    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list[Order]] = relationship(back_populates="customer")
    quantity: Mapped[int] = computed(Summation("orders", "quantity"))
    worth: Mapped[Decimal] = computed(Summation("orders", "worth"))


Change: TypeAlias = Callable[[Session, Line, Random], object]


def other_order(session: Session, line: Line, chance: Random) -> None:
    line.order_id = chance.randint(1, 3)


def other_order_by_object(session: Session, line: Line, chance: Random) -> None:
    line.order = session.get_one(Order, chance.randint(1, 3))


def other_order_by_collection(session: Session, line: Line, chance: Random) -> None:
    session.get_one(Order, chance.randint(1, 3)).lines.append(line)


def other_product(session: Session, line: Line, chance: Random) -> None:
    line.product_id = chance.randint(1, 3)


def other_product_by_collection(session: Session, line: Line, chance: Random) -> None:
    left, entered = session.get_one(Product, line.product_id), session.get_one(Product, chance.randint(1, 3))
    if line in left.lines:  # not if its key was changed before
        left.lines.remove(line)
        entered.lines.append(line)


def other_place(session: Session, line: Line, chance: Random) -> None:
    line.place = chance.randint(20, 1000)


def other_quantity(session: Session, line: Line, chance: Random) -> None:
    line.quantity = chance.randint(1, 9)


def other_price(session: Session, line: Line, chance: Random) -> None:
    session.get_one(Product, chance.randint(1, 3)).price = Decimal(chance.randint(1, 9))


CHANGES: tuple[Change, ...] = (
    other_order,
    other_order_by_object,
    other_order_by_collection,
    other_product,
    other_product_by_collection,
    other_place,
    other_quantity,
    other_price,
)


def columns_of(instance: object) -> list[Any]:
    return [getattr(instance, prop.key) for prop in inspect(type(instance)).column_attrs]


@pytest.fixture
def orders(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all(Customer(id=n) for n in (1, 2))
        session.add_all(Order(id=n, customer_id=1 + n % 2) for n in (1, 2, 3))
        session.add_all(Product(id=n, price=Decimal(n)) for n in (1, 2, 3))
        session.flush()
        session.add_all(
            Line(order_id=o, product_id=p, place=3 * o + p, quantity=o + p) for o in (1, 2, 3) for p in (1, 2)
        )
    return kept


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_a_key(orders: Kept, change: Change) -> None:
    """Alone, and together with other changes of the row and of what its contributions read."""
    for place, more in enumerate((None, other_quantity, other_price, other_place)):
        with orders.begin() as session:
            seen: list[Any] = [*session.query(Order), *session.query(Product), *session.query(Customer)]
            line = session.query(Line).order_by(Line.place).offset(place).first()
            assert line is not None
            with session.no_autoflush:
                change(session, line, Random(place))
                if more is not None:
                    more(session, line, Random(place))
            session.flush()
            values = [columns_of(host) for host in seen]
            session.expire_all()
            assert [columns_of(host) for host in seen] == values  # memory had what is stored
        orders.verify()


@pytest.mark.parametrize("seed", range(8))
def test_several_changes_in_one_flush(orders: Kept, seed: int) -> None:
    chance = Random(seed)
    for _ in range(6):
        with orders.begin() as session, session.no_autoflush:
            held = [*session.query(Order), *session.query(Product)]  # the unit of work holds only what has changed
            lines = chance.sample(list(session.query(Line)), 3)
            for line in lines:
                line.place = chance.randint(1000, 9000)  # free, wherever it goes
                for change in chance.sample(CHANGES, 2):
                    if change is not other_place:
                        change(session, line, chance)
            del held
        orders.verify()


def test_keys_move_on_in_a_row(orders: Kept) -> None:
    """Each line takes the key that the one before it has left."""
    with orders.begin() as session:
        lines = [session.get_one(Line, (1, 1, 4)), session.get_one(Line, (1, 2, 5))]
        lines[0].product_id, lines[0].place = 3, 9
        session.flush()
        lines[1].product_id, lines[1].place = 1, 4
    assert orders.stored(Product.id, Product.sold) == [(1, 3 + 3 + 4), (2, 4 + 5), (3, 2)]


def test_a_change_that_was_rolled_back(orders: Kept) -> None:
    with orders.begin() as session:
        line = session.get_one(Line, (1, 1, 4))
        with session.begin_nested() as savepoint:
            line.product_id = 3
            session.flush()
            savepoint.rollback()
        line.product_id = 2
    assert orders.stored(Order.id, Order.line_count, Order.quantity)[0] == (1, 2, 5)
    assert orders.stored(Product.id, Product.line_count, Product.sold) == [(1, 2, 7), (2, 4, 14), (3, 0, 0)]
