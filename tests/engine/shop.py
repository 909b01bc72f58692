"""A shop with every kind of edge: two levels of sums, neighbours one and two hops away, a computed neighbour, links."""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Column, ForeignKey, Numeric, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Supplier(Base):
    __tablename__ = "supplier"
    id: Mapped[int] = mapped_column(primary_key=True)
    active: Mapped[bool] = mapped_column(default=True)


class Product(Base):
    """A neighbour of items: they read its price, the rating computed from its reviews, and its supplier."""

    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int]
    supplier_id: Mapped[int] = mapped_column(ForeignKey("supplier.id"), index=True)
    supplier: Mapped[Supplier] = relationship()
    rating: Mapped[int] = iq.computed(iq.Summation("reviews", "stars"))
    item_count: Mapped[int] = iq.computed(iq.Count("items"))
    reviews: Mapped[list[Review]] = relationship(back_populates="product")
    items: Mapped[list[Item]] = relationship(back_populates="product")


class Review(Base):
    __tablename__ = "review"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
    stars: Mapped[int]
    product: Mapped[Product] = relationship(back_populates="reviews")


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_count: Mapped[int] = iq.computed(iq.Count("orders"))
    spent: Mapped[Decimal] = iq.computed(iq.Summation("orders", "total"), Numeric(14, 2))
    all_settled: Mapped[bool] = iq.computed(iq.Every("orders", expression={"all_done": True}))
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    item_count: Mapped[int] = iq.computed(iq.Count("items"))
    total: Mapped[Decimal] = iq.computed(iq.Summation("items", "amount"), Numeric(14, 2))
    open_count: Mapped[int] = iq.computed(iq.Count("items", where={"done": False}))
    all_done: Mapped[bool] = iq.computed(iq.Every("items", expression={"done": True}))
    any_done: Mapped[bool] = iq.computed(iq.Any("items", expression={"done": True}))
    list_price: Mapped[int] = iq.computed(
        iq.Summation("items", "product.price", where={"product.supplier.active": True})
    )
    rated: Mapped[int] = iq.computed(iq.Summation("items", "product.rating"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
    sku: Mapped[int | None] = mapped_column(unique=True)
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(1))
    done: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str | None]
    order: Mapped[Order] = relationship(back_populates="items")
    product: Mapped[Product] = relationship(back_populates="items")
    tags: Mapped[list[Tag]] = relationship(secondary=lambda: item_tag, back_populates="items")


class Tag(Base):
    """Many-to-many without a class for the link."""

    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    use_count: Mapped[int] = iq.computed(iq.Count("items"))
    tagged: Mapped[Decimal] = iq.computed(iq.Summation("items", "amount"), Numeric(14, 2))
    items: Mapped[list[Item]] = relationship(secondary=lambda: item_tag, back_populates="tags")


item_tag = Table(
    "item_tag",
    Base.metadata,
    Column("item_id", ForeignKey("item.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id", ondelete="CASCADE"), primary_key=True),
)

#: the one row that every order contributes to
TURNOVER = "turnover"

schema = iq.compile_schema(
    Base,
    dictionaries=[iq.Dictionary(TURNOVER, Decimal, computation=iq.Summation("Order", "total"))],
)
