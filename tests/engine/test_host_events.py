"""Events of hosts: whole rows, told as updates, with the same-row values that follow from the aggregates."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.support.statements import count_statements


class Base(DeclarativeBase):
    pass


class Customer(Base):
    """The upper one of two levels."""

    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    spent: Mapped[int] = iq.computed(iq.Summation("orders", "total"))
    tier: Mapped[str] = iq.computed(lambda customer: "gold" if customer.spent > 10 else "iron")
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    note: Mapped[str] = mapped_column(default="-")
    total: Mapped[int] = iq.computed(iq.Summation("items", "amount"))
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
    amount: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="items")


class Badge(Base):
    """Reacts to the upper level."""

    __tablename__ = "badge"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    __computation__ = iq.Transform(
        Customer, lambda c: {"name": c.name} if c.tier == "gold" else None, attribute_query=["name", "tier"]
    )


@pytest.fixture
def system(engine: Engine) -> iq.System:
    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        session.add(Customer(id=1, name="Ada", orders=[Order(id=1)]))
    return system


def rows(session: Session, mapped: Any) -> dict[str, Any]:
    names = inspect(mapped).column_attrs.keys()
    (row,) = session.execute(select(*(getattr(mapped, name) for name in names)))
    return dict(zip(names, row, strict=True))


@pytest.mark.parametrize("observed", [False, True])
def test_each_level_is_told_as_one_update_of_a_whole_row(engine: Engine, system: iq.System, observed: bool) -> None:
    for amount, tier, badges in ((5, "iron", 0), (20, "gold", 1), (-15, "iron", 0), (3, "gold", 1)):
        with system.session_factory() as session:
            state = SessionState.of(session)
            state.collect_events = True
            before = {mapped.__name__: rows(session, mapped) for mapped in (Customer, Order)}
            session.add(Item(order_id=1, amount=amount))
            if observed:
                with count_statements(engine):
                    session.flush()
            else:
                session.flush()
            told = {e.record_name: e for e in state.transaction.events if e.record_name in before}
            session.commit()
            assert [e.record_name for e in state.transaction.events if e.record_name in before] == []
            for mapped in (Customer, Order):
                event, now = told[mapped.__name__], rows(session, mapped)
                assert (event.type, event.old_record, event.record) == ("update", before[mapped.__name__], now)
                assert event.keys == {name for name in now if now[name] != before[mapped.__name__][name]}
            assert session.get_one(Customer, 1).tier == tier
            assert len(session.scalars(select(Badge)).all()) == badges
    assert system.check().ok
