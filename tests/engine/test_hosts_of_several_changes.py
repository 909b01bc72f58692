"""Several changes of one table's hosts, which come by different statements, lock these hosts in one order."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import ForeignKey, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

pytestmark = [pytest.mark.postgres, pytest.mark.concurrency]


class Base(DeclarativeBase):
    pass


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    active: Mapped[int] = iq.computed(iq.Count("offers", where={"active": True}))
    cheapest: Mapped[int | None] = iq.computed(iq.Min("offers", "price"))
    mentions: Mapped[int] = iq.computed(iq.Count("notes"))
    offers: Mapped[list[Offer]] = relationship()
    notes: Mapped[list[Note]] = relationship()


class Offer(Base):
    __tablename__ = "offer"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
    active: Mapped[bool]
    price: Mapped[int]


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    product_code: Mapped[str] = mapped_column(ForeignKey("product.code"), index=True)


class Least(DeclarativeBase):
    pass


class Shelf(Least):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    least: Mapped[int | None] = iq.computed(iq.Min("books", "price"))
    books: Mapped[list[Book]] = relationship()


class Book(Least):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"), index=True)
    price: Mapped[int]


def connect(engine_for: EngineFactory, torture: Torture, base: Any) -> iq.System:
    engine = engine_for("psycopg", pool_size=torture.workers, connect_args={"options": "-c deadlock_timeout=50ms"})
    base.metadata.create_all(engine)
    return iq.System(sessionmaker(engine), base=base)


@pytest.mark.parametrize("products", [2, 3, 5])
def test_a_sum_changes_some_and_a_least_all(engine_for: EngineFactory, torture: Torture, products: int) -> None:
    """The inactive offer leaves the Count of the first product as it is, and its Min may change."""
    system = connect(engine_for, torture, Base)
    with system.session_factory.begin() as session:
        session.add_all([Product(id=n, code=str(n)) for n in range(1, products + 1)])

    def work(number: int) -> None:
        for turn in range(torture.rounds):
            with system.session_factory.begin() as session:
                session.add_all(
                    Offer(product_id=n, active=n > 1 or number % 2 == 0, price=1000 - turn)
                    for n in range(1, products + 1)
                )

    with ThreadPoolExecutor(torture.workers) as pool:
        list(pool.map(work, range(torture.workers)))  # a deadlock is an error here
    assert system.check().ok


def test_hosts_are_known_by_two_columns(engine_for: EngineFactory, torture: Torture) -> None:
    system = connect(engine_for, torture, Base)
    with system.session_factory.begin() as session:
        session.add_all([Product(id=n, code=str(n)) for n in (1, 2)])

    def work(number: int) -> None:
        by_key, by_code = (1, "2") if number % 2 else (2, "1")
        for turn in range(torture.rounds):
            with system.session_factory.begin() as session:
                session.add(Offer(product_id=by_key, active=True, price=1000 - turn))
                session.add(Note(product_code=by_code))

    with ThreadPoolExecutor(torture.workers) as pool:
        list(pool.map(work, range(torture.workers)))
    assert system.check().ok


def test_only_a_least_of_many(engine_for: EngineFactory, torture: Torture) -> None:
    """An UPDATE of several rows alone locks them as it meets them."""
    system = connect(engine_for, torture, Least)
    with system.session_factory.begin() as session:
        session.execute(insert(Shelf), [{"id": n} for n in range(1, 2001)])

    def work(number: int) -> None:
        chance = random.Random(number)
        for turn in range(torture.rounds):
            keys = chance.sample(range(1, 2000, 166), chance.randint(2, 12))
            with system.session_factory.begin() as session:
                session.add_all(Book(shelf_id=n, price=1000 - turn) for n in keys)

    with ThreadPoolExecutor(torture.workers) as pool:
        list(pool.map(work, range(torture.workers)))
    assert system.check().ok
