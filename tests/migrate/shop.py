"""A declarative model that grows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa.definitions.aggregates import Average, Count, Summation
from interaqt_sa.schema.computed import computed

CONVENTION = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def shop(
    *,
    counts: bool = False,
    sums: bool = False,
    unique: bool = False,
    unique_label: bool = False,
    where: dict[str, Any] | None = None,
    noted: bool = False,
) -> type[DeclarativeBase]:
    """Return the base of a shop's models: customers, orders and items."""

    class Base(DeclarativeBase):
        metadata = MetaData(naming_convention=CONVENTION)

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column(String)
        orders: Mapped[list[Order]] = relationship(back_populates="customer")
        if sums:
            spent: Mapped[int] = computed(Summation("orders", "total"))
        if unique:
            __table_args__ = (UniqueConstraint("email"),)

    class Order(Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
        customer: Mapped[Customer] = relationship(back_populates="orders")
        items: Mapped[list[Item]] = relationship(back_populates="order")
        if noted:
            note: Mapped[str | None]
        if counts:
            item_count: Mapped[int] = computed(Count("items"))
        if sums:
            total: Mapped[int] = computed(Summation("items", "price", where=where))
            label: Mapped[str] = computed(lambda order: f"{order.id}: {order.total}")
            mean: Mapped[float] = computed(Average("items", "price"))
        if unique_label:
            __table_args__ = (UniqueConstraint("label"),)

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
        price: Mapped[int]
        order: Mapped[Order] = relationship(back_populates="items")

    Base.records = (Customer, Order, Item)  # type: ignore[attr-defined]  # a base holds its classes only weakly
    return Base


FILL = (
    "INSERT INTO customer (id, email) VALUES (1, 'a@x'), (2, 'b@x')",
    """INSERT INTO "order" (id, customer_id) VALUES (1, 1), (2, 1), (3, 2)""",
    "INSERT INTO item (id, order_id, price) VALUES (1, 1, 10), (2, 1, 5), (3, 2, 7)",
)
