"""Orders that are placed by events."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa.definitions.aggregates import Count, Summation
from interaqt_sa.definitions.transform import Transform
from interaqt_sa.schema.computed import computed


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_count: Mapped[int] = computed(Count("orders"))
    spent: Mapped[int] = computed(Summation("orders", "total"))
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class PlaceOrder(Base):
    """The event."""

    __tablename__ = "place_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int]
    total: Mapped[int]


class Order(Base):
    """What the event makes."""

    __tablename__ = "order_"
    __table_args__ = (
        UniqueConstraint("customer_id", "total", name="uq_order", info={"violation_code": "ORDER_TWICE"}),
    )
    __computation__ = Transform(PlaceOrder, lambda event: {"customer_id": event.customer_id, "total": event.total})
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    total: Mapped[int]
    customer: Mapped[Customer] = relationship(back_populates="orders")
