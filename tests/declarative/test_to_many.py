"""One-to-many and many-to-one: members that refer to their host by a foreign key."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import ForeignKey, Numeric, delete, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Any, Average, Count, Every, Summation, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"

    name: Mapped[str] = mapped_column(primary_key=True)
    orders: Mapped[list[Order]] = relationship(back_populates="customer", cascade="all, delete-orphan")
    order_count: Mapped[int] = computed(Count("orders"))
    open_orders: Mapped[int] = computed(Count("orders", where={"status": "open"}))
    spent: Mapped[Decimal] = computed(Summation("orders", "total"), Numeric(12, 2))
    mean: Mapped[float] = computed(Average("orders", "total"))
    all_paid: Mapped[bool] = computed(Every("orders", expression={"status": "paid"}))
    large: Mapped[bool] = computed(Any("orders", lambda order: order.total >= 100, attribute_query=["total"]))


class Order(Base):
    __tablename__ = "order"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_name: Mapped[str | None] = mapped_column(ForeignKey("customer.name"))
    customer: Mapped[Customer | None] = relationship(back_populates="orders")
    status: Mapped[str] = mapped_column(default="open")
    total: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    items: Mapped[list[Item]] = relationship(back_populates="order")
    item_count: Mapped[int] = computed(Count("items"))
    customers_orders: Mapped[int] = computed(Summation("customer", "order_count"))
    has_customer: Mapped[int] = computed(Count("customer"))


class Item(Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    order: Mapped[Order] = relationship(back_populates="items")


@pytest.fixture
def shop(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        ada = Customer(name="ada", orders=[Order(id=1, total=Decimal("10.50")), Order(id=2, total=120, status="paid")])
        session.add_all([ada, Customer(name="bob", orders=[Order(id=3, total=5)]), Customer(name="cy")])
    return kept


def test_new_members_count_at_once(shop: Kept) -> None:
    assert shop.stored(Customer.name, Customer.order_count, Customer.open_orders, Customer.spent, Customer.mean) == [
        ("ada", 2, 1, Decimal("130.50"), 65.25),
        ("bob", 1, 1, Decimal(5), 5.0),
        ("cy", 0, 0, Decimal(0), 0.0),
    ]
    assert shop.stored(Customer.name, Customer.all_paid, Customer.large) == [
        ("ada", False, True),
        ("bob", False, False),
        ("cy", True, False),
    ]


def test_a_changed_member_changes_what_reads_it(shop: Kept) -> None:
    with shop.begin() as session:
        order = session.get_one(Order, 1)
        order.status, order.total = "paid", Decimal("99.99")
    assert shop.stored(Customer.name, Customer.open_orders, Customer.spent, Customer.all_paid)[0] == (
        "ada",
        0,
        Decimal("219.99"),
        True,
    )


def test_a_member_moves_by_relationship_by_collection_and_by_key(shop: Kept) -> None:
    with shop.begin() as session:
        ada, bob, cy = (session.get_one(Customer, name) for name in ("ada", "bob", "cy"))
        ada.orders[0].customer = bob
        cy.orders = [session.get_one(Order, 2)]
        session.get_one(Order, 3).customer_name = "ada"
    assert shop.stored(Customer.name, Customer.order_count, Customer.spent, Customer.large) == [
        ("ada", 1, Decimal(5), False),
        ("bob", 1, Decimal("10.50"), False),
        ("cy", 1, Decimal(120), True),
    ]


def test_orphans_and_deleted_members_count_no_more(shop: Kept) -> None:
    with shop.begin() as session:
        ada = session.get_one(Customer, "ada")
        del ada.orders[0]
        session.delete(session.get_one(Order, 3))
    assert shop.stored(Customer.name, Customer.order_count, Customer.spent) == [
        ("ada", 1, Decimal(120)),
        ("bob", 0, Decimal(0)),
        ("cy", 0, Decimal(0)),
    ]


def test_a_deleted_host_takes_its_members_along(shop: Kept) -> None:
    with shop.begin() as session:
        session.delete(session.get_one(Customer, "ada"))
    assert shop.stored(Order.id) == [(3,)]
    assert shop.stored(Customer.name, Customer.order_count) == [("bob", 1), ("cy", 0)]


def test_an_aggregate_over_many_to_one_follows_its_only_member(shop: Kept) -> None:
    with shop.begin() as session:
        session.add(Order(id=4, total=1))
    columns = Order.id, Order.has_customer, Order.customers_orders
    assert shop.stored(*columns) == [(1, 1, 2), (2, 1, 2), (3, 1, 1), (4, 0, 0)]
    with shop.begin() as session:
        session.get_one(Order, 4).customer_name = "ada"
        session.get_one(Order, 3).customer = None
    assert shop.stored(*columns) == [(1, 1, 3), (2, 1, 3), (3, 0, 0), (4, 1, 3)]


def test_bulk_statements_move_change_and_delete_members(shop: Kept) -> None:
    shop.run(insert(Order), [{"id": n, "customer_name": "cy", "total": n, "status": "open"} for n in (4, 5, 6)])
    assert shop.stored(Customer.name, Customer.order_count, Customer.spent)[2] == ("cy", 3, Decimal(15))
    assert shop.run(update(Order).where(Order.id.in_([1, 4])).values(customer_name="bob", status="paid")) == 2
    assert shop.run(delete(Order).where(Order.total > 100)) == 1
    assert shop.stored(Customer.name, Customer.order_count, Customer.open_orders, Customer.spent) == [
        ("ada", 0, 0, Decimal(0)),
        ("bob", 3, 1, Decimal("19.50")),
        ("cy", 2, 2, Decimal(11)),
    ]
    assert shop.stored(Order.id, Order.customers_orders) == [(1, 3), (3, 3), (4, 3), (5, 2), (6, 2)]


def test_members_that_lose_their_host_by_a_bulk_update_count_nowhere(shop: Kept) -> None:
    shop.run(update(Order).values(customer_name=None))
    assert shop.stored(Customer.name, Customer.order_count, Customer.spent) == [
        (name, 0, Decimal(0)) for name in ("ada", "bob", "cy")
    ]
    assert shop.stored(Order.id, Order.has_customer) == [(1, 0), (2, 0), (3, 0)]
