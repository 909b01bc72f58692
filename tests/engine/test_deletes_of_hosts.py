"""Hosts that go with their members, beside writers of those members: members are locked first by both."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from interaqt_sa.dialects.database_errors import normalize_database_error
from tests.support.engines import EngineFactory
from tests.support.torture import Torture


class Base(DeclarativeBase):
    # two transactions may delete the same order: the second finds its rows gone, which is not a fault here
    __mapper_args__ = {"confirm_deleted_rows": False}


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = iq.computed(iq.Summation("orders", "total"))
    orders: Mapped[list[Order]] = relationship(back_populates="customer", cascade="all, delete-orphan")


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    total: Mapped[int] = iq.computed(iq.Summation("items", "amount"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order", cascade="all, delete-orphan")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order.id"), index=True)
    amount: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="items")


@pytest.mark.postgres
@pytest.mark.concurrency
def test_deletes_of_hosts_do_not_deadlock_with_writes_of_members(engine_for: EngineFactory, torture: Torture) -> None:
    engine = engine_for("psycopg", pool_size=torture.workers, connect_args={"options": "-c deadlock_timeout=50ms"})
    Base.metadata.create_all(engine)
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=Base)
    with session_factory.begin() as session:
        session.add_all([Customer(id=1), Customer(id=2)])

    def work(seed: int) -> Counter[str]:
        chance, outcomes = random.Random(seed), Counter[str]()
        for _ in range(2 * torture.rounds):
            try:
                with session_factory.begin() as session:
                    _write(session, chance)
            except StaleDataError:
                outcomes["the row was gone"] += 1
            except DBAPIError as error:
                found = normalize_database_error(error)
                outcomes[(found and found.code) or "unknown"] += 1
            else:
                outcomes["committed"] += 1
        return outcomes

    with ThreadPoolExecutor(torture.workers) as pool:
        outcomes = sum(pool.map(work, range(torture.workers)), Counter[str]())

    assert set(outcomes) <= {"committed", "the row was gone"}, outcomes
    assert outcomes["committed"] > torture.workers * torture.rounds
    assert not system.check().differences


def _write(session: Session, chance: random.Random) -> None:
    match chance.randrange(3):
        case 0:
            session.add(Order(customer_id=chance.randint(1, 2), items=[Item(amount=1), Item(amount=2)]))
        case 1:
            item = session.scalar(select(Item).order_by(func.random()).limit(1))
            if item is not None:
                item.amount += 1
        case _:
            order = session.scalar(select(Order).order_by(func.random()).limit(1))
            if order is not None:
                session.delete(order)
