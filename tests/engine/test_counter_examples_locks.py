"""Which locks stand in nobody's way, on PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true


class Base(DeclarativeBase):
    pass


class Good(Base):
    __tablename__ = "good"
    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[int]
    remark: Mapped[str] = mapped_column(default="")
    sale_count: Mapped[int] = iq.computed(iq.Count("sales"))
    sales: Mapped[list[Sale]] = relationship(back_populates="good")


class Basket(Base):
    __tablename__ = "basket"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = iq.computed(iq.Summation("sales", "good.price"))
    sales: Mapped[list[Sale]] = relationship(back_populates="basket")


class Sale(Base):
    __tablename__ = "sale"
    id: Mapped[int] = mapped_column(primary_key=True)
    good_id: Mapped[int] = mapped_column(ForeignKey("good.id"))
    basket_id: Mapped[int] = mapped_column(ForeignKey("basket.id"))
    good: Mapped[Good] = relationship(back_populates="sales")
    basket: Mapped[Basket] = relationship(back_populates="sales")


@pytest.fixture
def system(make_postgres_system: MakeSystem) -> iq.System:
    """Return a system over two goods and four baskets, with a sale of the first good in the first basket."""
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([*(Good(id=n, price=n) for n in (1, 2)), *(Basket(id=n) for n in (1, 2, 3, 4))])
        session.flush()
        session.add(Sale(id=1, good_id=1, basket_id=1))
    return system


def test_a_counter_does_not_block_who_reads_the_price(system: iq.System) -> None:
    with system.session_factory.begin() as one:
        one.add(Sale(id=2, good_id=1, basket_id=2))
        one.flush()
        with system.session_factory.begin() as two:  # would give up after the lock timeout
            two.get_one(Sale, 1).basket_id = 3
    assert_true(system)


def test_a_column_that_nobody_reads_is_no_lock_on_readers(system: iq.System) -> None:
    with system.session_factory.begin() as one:
        one.get_one(Good, 1).remark = "new"
        one.flush()
        with system.session_factory.begin() as two:
            two.get_one(Sale, 1).basket_id = 3
    assert_true(system)


def test_readers_do_not_block_each_other(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.add(Sale(id=2, good_id=1, basket_id=2))
    with system.session_factory.begin() as one:
        one.get_one(Sale, 2).basket_id = 4
        one.flush()
        with system.session_factory.begin() as two:
            two.get_one(Sale, 1).basket_id = 3
    assert_true(system)


def test_a_counted_host_may_be_referred_to(system: iq.System) -> None:
    """The lock of a counter is weaker than what a foreign key check waits for."""
    with system.session_factory.begin() as one:
        one.add(Sale(id=2, good_id=1, basket_id=2))
        one.flush()
        with system.session_factory.begin() as two:
            two.get_one(Sale, 1).basket_id = 4  # checks a key, takes the old basket's lock, and not the second's
    assert_true(system)
