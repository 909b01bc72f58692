"""Flushes that write rows of several levels by themselves lock from the bottom up, like all others."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import ForeignKey, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from interaqt_sa.dialects.database_errors import normalize_database_error
from tests.support.engines import EngineFactory
from tests.support.torture import Torture


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = iq.computed(iq.Summation("orders", "total"))
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    note: Mapped[str] = mapped_column(default="")
    total: Mapped[int] = iq.computed(iq.Summation("items", "amount"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"))
    amount: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="items")


@pytest.mark.postgres
@pytest.mark.concurrency
def test_mixed_flushes_do_not_deadlock(engine_for: EngineFactory, torture: Torture) -> None:
    """The unit of work updates parents first, the engine locks children first: alone, each order is safe."""
    engine = engine_for("psycopg", pool_size=torture.workers, connect_args={"options": "-c deadlock_timeout=100ms"})
    Base.metadata.create_all(engine)
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=Base)
    with session_factory.begin() as session:
        orders = [Order(items=[Item(amount=1) for _ in range(3)]) for _ in range(6)]
        session.add_all([Customer(orders=orders[:3]), Customer(orders=orders[3:])])

    def work(seed: int) -> Counter[str]:
        chance, outcomes = random.Random(seed), Counter[str]()
        for _ in range(torture.rounds):
            try:
                with session_factory.begin() as session:
                    _change_several_levels(session, chance)
            except DBAPIError as error:
                found = normalize_database_error(error)
                outcomes[found.code if found is not None and found.code else "unknown"] += 1
            else:
                outcomes["committed"] += 1
        return outcomes

    with ThreadPoolExecutor(torture.workers) as pool:
        outcomes = sum(pool.map(work, range(torture.workers)), Counter[str]())

    assert outcomes == Counter(committed=torture.workers * torture.rounds)
    assert system.check().ok


def _change_several_levels(session: Session, chance: random.Random) -> None:
    items = list(session.scalars(select(Item)))
    orders = list(session.scalars(select(Order)))
    with session.no_autoflush:
        for item in chance.sample(items, 2):
            item.amount = chance.randint(1, 9)
        if chance.random() < 0.7:
            chance.choice(orders).customer_id = chance.randint(1, 2)
        if chance.random() < 0.5:
            chance.choice(orders).note = str(chance.random())
        if chance.random() < 0.5:
            chance.choice(items).order = chance.choice(orders)
        session.add(Item(order=chance.choice(orders), amount=3))


class Shelves(DeclarativeBase):
    pass


class Book(Shelves):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    n: Mapped[int] = iq.computed(iq.Count("reviews"))
    reviews: Mapped[list[Review]] = relationship()


class Review(Shelves):
    __tablename__ = "review"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))


@pytest.mark.postgres
@pytest.mark.concurrency
def test_a_unique_column_changes_while_members_come(engine_for: EngineFactory, torture: Torture) -> None:
    """PostgreSQL locks such a row as if it were deleted: a weaker lock before it would let foreign keys in between."""
    engine = engine_for("psycopg", pool_size=torture.workers, connect_args={"options": "-c deadlock_timeout=50ms"})
    Shelves.metadata.create_all(engine)
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=Shelves)
    with session_factory.begin() as session:
        session.add(Book(id=1, title="a"))

    def work(number: int) -> None:
        for turn in range(torture.rounds):
            with session_factory.begin() as session:
                if number % 4:
                    session.add(Review(book_id=1))
                elif turn % 2:
                    session.execute(update(Book).where(Book.id == 1).values(title=f"{number}.{turn}"))
                else:
                    session.get_one(Book, 1).title = f"{number}.{turn}"

    with ThreadPoolExecutor(torture.workers) as pool:
        list(pool.map(work, range(torture.workers)))
    assert system.check().ok
