"""Hosts with versions, rows of several mapped classes, rows that another object takes over: memory stays true."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import DDL, FetchedValue, ForeignKey, Integer, MetaData, event, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import UserDefinedType

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept
from tests.support.engines import EngineFactory


class XID(UserDefinedType[str]):
    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "XID"


def versioned(*, by_system_column: bool) -> Any:
    """Return a base whose hosts have a version that the database makes."""

    class Base(DeclarativeBase):
        metadata = MetaData()

    class Order(Base):
        __tablename__ = "order_"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
        amount: Mapped[int] = mapped_column(default=1)

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        orders: Mapped[list[Order]] = relationship()
        n: Mapped[int] = iq.computed(iq.Count("orders"))
        mean: Mapped[float | None] = iq.computed(iq.Average("orders", "amount", empty=None))
        if by_system_column:
            version = mapped_column("xmin", XID, system=True, server_default=FetchedValue())
        else:
            version = mapped_column(Integer, server_default="1", server_onupdate=FetchedValue())
        __mapper_args__ = {"version_id_col": version, "version_id_generator": False}

    if not by_system_column:
        text = (
            "CREATE FUNCTION next_version() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$"
        )
        event.listen(Base.metadata, "before_create", DDL(text))
        trigger = "CREATE TRIGGER versions BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION next_version()"
        event.listen(Customer.__table__, "after_create", DDL(trigger))
    return Base


@pytest.mark.postgres
@pytest.mark.parametrize("by_system_column", [True, False], ids=["xmin", "trigger"])
def test_versions_that_the_database_makes(engine_for: EngineFactory, by_system_column: bool) -> None:
    base = versioned(by_system_column=by_system_column)
    classes = {mapper.class_.__name__: mapper.class_ for mapper in base.registry.mappers}
    customer, order = classes["Customer"], classes["Order"]
    kept = Kept(engine_for("psycopg"), base)
    with kept.begin() as session:
        session.add(customer(id=1, name="a"))
    with kept.begin() as session:
        held = session.get_one(customer, 1)
        held.orders.append(order(id=1))
        session.flush()
        held.name = "b"
        session.flush()
        session.execute(insert(order).values(id=2, customer_id=1, amount=3))
        held.name = "c"
        session.flush()
        session.execute(update(order).values(amount=5))
        nested = session.begin_nested()
        session.add(order(id=3, customer_id=1))
        session.flush()
        held.name = "d"
        session.flush()
        nested.rollback()
        held.name = "e"
        session.flush()
        session.delete(held.orders[0])
        held.name = "f"
        session.flush()
        assert (held.name, held.n, held.mean) == ("f", 1, 5.0)
    kept.verify()


class Base(DeclarativeBase):
    metadata = MetaData()


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    orders: Mapped[list[Order]] = relationship(back_populates="customer", passive_deletes="all")
    n: Mapped[int] = iq.computed(iq.Count("orders"))
    total: Mapped[int] = iq.computed(iq.Summation("orders", "amount"))


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    amount: Mapped[int] = mapped_column(default=1)


class Balance(Base):
    """The same rows once more."""

    __table__ = Customer.__table__


@pytest.fixture
def kept(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add(Customer(id=1, orders=[Order(id=n, amount=n) for n in (1, 2)]))
    return kept


def test_every_class_of_a_row_is_fresh(kept: Kept) -> None:
    with kept.begin() as session:
        customer, balance = session.get_one(Customer, 1), session.get_one(Balance, 1)
        session.add(Order(id=3, customer_id=1, amount=3))
        session.flush()
        assert (customer.n, customer.total, balance.n, balance.total) == (3, 6, 3, 6)  # type: ignore[attr-defined]
        session.execute(update(Order).values(amount=10))
        assert (customer.total, balance.total) == (30, 30)  # type: ignore[attr-defined]
    kept.verify()


@pytest.mark.parametrize("given", [{}, {"n": 0, "total": 0}, {"name": "new", "n": 0}], ids=["nothing", "all", "some"])
def test_a_host_that_another_object_takes_over(kept: Kept, given: dict[str, Any]) -> None:
    with kept.begin() as session:
        old = session.get_one(Customer, 1)
        old.name = "old"
        session.flush()
        session.delete(old)
        new = Customer(id=1, **given)
        session.add_all([new, Order(id=5, customer_id=1, amount=5)])
        session.flush()
        assert (new.n, new.total) == (3, 8)
    kept.verify()
