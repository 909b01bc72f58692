"""Where rows must be found, a snapshot is not enough."""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.support.engines import EngineFactory

pytestmark = pytest.mark.postgres


class Base(DeclarativeBase):
    pass


class Price(Base):
    __tablename__ = "price"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Basket(Base):
    __tablename__ = "basket"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int] = iq.computed(iq.Summation("entries", "price.amount"))
    entries: Mapped[list[Entry]] = relationship()


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    basket_id: Mapped[int] = mapped_column(ForeignKey("basket.id", ondelete="CASCADE"))
    price_id: Mapped[int] = mapped_column(ForeignKey("price.id", ondelete="CASCADE"))
    price: Mapped[Price] = relationship()


def _system(engine_for: EngineFactory, level: str, *, all_serializable: bool = False) -> iq.System:
    engine = engine_for("psycopg")
    Base.metadata.create_all(engine)
    with sessionmaker(engine).begin() as session:
        session.add_all([Basket(id=1), Price(id=1, amount=3)])
    if all_serializable:
        return iq.System(engine, base=Base, isolation="SERIALIZABLE")
    return iq.System(engine.execution_options(isolation_level=level), base=Base)


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_members_alone_need_no_search(engine_for: EngineFactory, isolation: str) -> None:
    system = _system(engine_for, isolation)
    with system.session_factory.begin() as session:
        session.add(Entry(id=1, basket_id=1, price_id=1))
    assert system.check().ok


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
def test_readers_of_a_change_may_be_missed(engine_for: EngineFactory, isolation: str) -> None:
    system = _system(engine_for, isolation)
    with system.session_factory() as session:
        session.get_one(Price, 1).amount = 4
        with pytest.raises(iq.TransactionCapabilityError, match="change of 'price' reaches its readers"):
            session.flush()


def test_children_of_a_deleted_row_may_be_missed(engine_for: EngineFactory) -> None:
    system = _system(engine_for, "REPEATABLE READ")
    with system.session_factory() as session:
        session.delete(session.get_one(Basket, 1))
        with pytest.raises(iq.TransactionCapabilityError, match="delete in 'basket' reaches rows of 'entry'"):
            session.flush()


def test_where_all_are_serializable_the_database_sees_the_conflict(engine_for: EngineFactory) -> None:
    """Two writers that miss each other's rows cannot both commit."""
    system = _system(engine_for, "SERIALIZABLE", all_serializable=True)
    one, two = system.session_factory(), system.session_factory()
    with one, two:
        one.get_one(Price, 1)  # both begin before either has written
        two.get_one(Basket, 1)
        two.add(Entry(id=1, basket_id=1, price_id=1))
        two.commit()
        one.get_one(Price, 1).amount = 4
        with pytest.raises(DBAPIError) as caught:
            one.commit()
        assert iq.is_retryable_transaction_error(caught.value)
    assert system.check().ok
