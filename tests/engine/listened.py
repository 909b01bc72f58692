"""Models of three levels with derived rows, and code of the application that takes part in their flushes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Engine, ForeignKey, Integer, MetaData, Table, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Kept
from tests.engine.event_oracle import replay, snapshot


class Base(DeclarativeBase):
    metadata = MetaData()


tagged = Table(
    "tagged",
    Base.metadata,
    Column("item_id", Integer, ForeignKey("item.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", Integer, ForeignKey("tag.id"), primary_key=True),
)


class Region(Base):
    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list[Order]] = relationship(back_populates="region")
    grand: Mapped[int] = iq.computed(iq.Summation("orders", "total"))


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))
    region: Mapped[Region | None] = relationship(back_populates="orders")
    note: Mapped[str | None]
    items: Mapped[list[Item]] = relationship(back_populates="order", cascade="all, delete-orphan")
    count: Mapped[int] = iq.computed(iq.Count("items"))
    total: Mapped[int] = iq.computed(iq.Summation("items", "doubled"))
    priced: Mapped[int] = iq.computed(iq.Summation("items", "product.price"))


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int] = mapped_column(default=1)


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))
    product: Mapped[Product | None] = relationship()
    amount: Mapped[int] = mapped_column(default=1)
    note: Mapped[str | None]
    doubled: Mapped[int] = iq.computed(lambda item: item.amount * 2)
    order: Mapped[Order] = relationship(back_populates="items")
    tags: Mapped[list[Tag]] = relationship(secondary=tagged)


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship(secondary=tagged, viewonly=True)
    amount: Mapped[int] = iq.computed(iq.Summation("items", "amount"))


class Receipt(Base):
    __tablename__ = "receipt"
    __computation__ = iq.Transform(Item, lambda item: {"amount": item["amount"]})
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Audit(Base):
    """Nothing is computed from it."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


RECORDS: tuple[type[Any], ...] = (Region, Order, Product, Item, Tag, Receipt)
Hook = Callable[[Connection, Any], object]


def fill(engine: Engine) -> Kept:
    """Make the tables, with two orders of three items."""
    kept = Kept(engine, Base)
    with kept.begin() as session:
        tags = [Tag(id=1), Tag(id=2)]
        session.add_all([*tags, *(Product(id=n, price=n) for n in (1, 2))])
        session.add_all([Region(id=n, orders=[Order(id=n)]) for n in (1, 2)])
        session.flush()
        session.add_all([Item(id=n, order_id=1 + n // 3, product_id=1, amount=n, tags=tags[:1]) for n in (1, 2, 3)])
    return kept


def told(kept: Kept, work: Callable[[Session], object]) -> None:
    """Run ``work`` and commit; compare its events with what tables hold, and every value with its recompute."""
    before = snapshot(kept.engine, RECORDS)
    with kept.sessions() as session:
        SessionState.of(session).collect_events = True
        work(session)
        session.flush()
        events = [e for e in SessionState.of(session).transaction.events if e.record_name != "Audit"]
        session.commit()
    assert replay(before, events) == snapshot(kept.engine, RECORDS)
    kept.verify()


def session_of(instance: object) -> Session:
    """Return the session of an object that a listener was given."""
    session = object_session(instance)
    assert session is not None
    return session


@contextmanager
def hooked(mapped: type[Any], name: str, hook: Hook) -> Generator[None]:
    """Let ``hook`` run in a mapper event, for the rows that tests write and not for those that it adds itself."""

    def listener(mapper: Any, connection: Connection, target: Any) -> None:
        if target.id is None or target.id < 900:
            hook(connection, target)

    event.listen(mapped, name, listener)
    try:
        yield
    finally:
        event.remove(mapped, name, listener)


@contextmanager
def listening(target: Any, name: str, listener: Callable[..., Any]) -> Generator[None]:
    """Let ``listener`` run in an event."""
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)
