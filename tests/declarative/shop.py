"""A small shop: customers count and sum up their orders."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import ForeignKey, Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Count, Every, Summation, computed


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    orders: Mapped[list[Order]] = relationship(back_populates="customer")
    order_count: Mapped[int] = computed(Count("orders"))
    spent: Mapped[Decimal] = computed(Summation("orders", "total"), Numeric(12, 2))
    all_paid: Mapped[bool] = computed(Every("orders", expression={"paid": True}))


class Order(Base):
    __tablename__ = "order"

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    total: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=1)
    paid: Mapped[bool] = mapped_column(default=False)


class Note(Base):
    """Nothing is computed from notes."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
