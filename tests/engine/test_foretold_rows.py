"""Events of updated and deleted rows hold what is stored before and after, without a read more than it needs."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    Engine,
    ForeignKey,
    Numeric,
    String,
    event,
    select,
    text,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.support.statements import count_statements


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int] = iq.computed(iq.Summation("items", "amount"))
    changes: Mapped[int] = iq.computed(iq.Summation("stamped", "version"))
    items: Mapped[list[Item]] = relationship(back_populates="order")
    stamped: Mapped[list[Stamped]] = relationship()


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
    amount: Mapped[int]
    price: Mapped[Decimal] = mapped_column(Numeric(6, 2), default=Decimal(1))
    note: Mapped[str | None] = mapped_column(String(5))
    order: Mapped[Order] = relationship(back_populates="items")


class Stamped(Base):
    """The database and SQLAlchemy change columns of it by themselves."""

    __tablename__ = "stamped"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
    version: Mapped[int] = mapped_column(default=1)
    touched: Mapped[int] = mapped_column(default=0, onupdate=7)
    __mapper_args__ = {"version_id_col": version}


@pytest.fixture
def system(engine: Engine) -> iq.System:
    system = iq.System(engine, base=Base, unattached="allow")
    Base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        session.add_all([Order(id=1), Order(id=2)])
        session.flush()
        session.add_all([Item(id=1, order_id=1, amount=5, note="a"), Stamped(id=1, order_id=1)])
    return system


Row = dict[str, Any]
Write = Callable[[Session, Any], object]
ITEMS, ORDERS = Base.metadata.tables["item"], Base.metadata.tables["order_"]


def stored(connection: Connection, mapped: Any) -> Row | None:
    row = connection.execute(select(mapped.__table__).where(mapped.__table__.c.id == 1)).one_or_none()
    return None if row is None else {c.name: v for c, v in zip(mapped.__table__.columns, row, strict=True)}


def assert_told(system: iq.System, mapped: Any, write: Write) -> None:
    """Compare the event of one row with what is stored before and after."""
    with system.session_factory() as session:
        instance = session.get_one(mapped, 1)
        state = SessionState.of(session)
        state.collect_events = True
        before = stored(session.connection(), mapped)
        write(session, instance)
        session.flush()
        after = stored(session.connection(), mapped)
        told = [e for e in state.transaction.events if e.record_name == mapped.__name__]
        if after is None:
            assert [(e.type, dict(e.record)) for e in told] == [("delete", before)]
        elif after != before:
            assert [(e.type, dict(e.record), e.old_record) for e in told] == [("update", after, before)]
            assert [list(map(type, e.record.values())) for e in told] == [list(map(type, after.values()))]
        else:
            assert told == []
        session.commit()
    assert system.check().ok


def assign(**values: Any) -> Write:
    def write(session: Session, instance: Any) -> None:
        for name, value in values.items():
            setattr(instance, name, value)

    return write


def relate(session: Session, item: Any) -> None:
    item.order = session.get_one(Order, 2)


def remove(session: Session, item: Any) -> None:
    session.delete(item)


def change_and_remove(session: Session, item: Any) -> None:
    item.amount = 8
    session.delete(item)


def replace(session: Session, item: Any) -> None:
    session.delete(item)
    session.add(Item(id=1, order_id=2, amount=3))


def append(session: Session, item: Any) -> None:
    order = session.get_one(Order, 2)
    order.items.append(item)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(assign(amount=9), id="an input"),
        pytest.param(assign(amount=9, note="b"), id="several"),
        pytest.param(assign(order_id=2), id="a key"),
        pytest.param(assign(amount=5), id="nothing"),
        pytest.param(assign(amount=Item.amount + 1), id="an expression"),
        pytest.param(assign(amount=9, price=Decimal("1.005")), id="rounded"),
        pytest.param(assign(amount=9, price=3), id="another type"),
        pytest.param(assign(amount=9, note="x" * 5 + "  "), id="spaces that are cut off"),
        pytest.param(relate, id="a relationship"),
        pytest.param(append, id="a collection"),
        pytest.param(remove, id="a delete"),
        pytest.param(change_and_remove, id="an update that ends in a delete"),
        pytest.param(replace, id="another object"),
    ],
)
def test_what_is_told_is_what_is_stored(system: iq.System, write: Write) -> None:
    assert_told(system, Item, write)


@pytest.mark.parametrize("values", [{"order_id": 2}, {"touched": 3}])
def test_columns_that_change_by_themselves_are_read(system: iq.System, values: Row) -> None:
    assert_told(system, Stamped, assign(**values))


@pytest.mark.parametrize("values", [{"note": "b"}, {"amount": 9}, {"amount": 5, "note": "b"}, {"amount": 6}])
def test_memory_that_is_stale_is_not_believed(system: iq.System, engine: Engine, values: Row) -> None:
    with system.session_factory(expire_on_commit=False) as session:
        item = session.get_one(Item, 1)
        session.commit()
        with engine.begin() as connection:
            connection.execute(update(ITEMS).values(amount=6, note="z"))
            connection.execute(update(ORDERS).where(ORDERS.c.id == 1).values(total=6))
        state = SessionState.of(session)
        state.collect_events = True
        before = stored(session.connection(), Item)
        assign(**values)(session, item)
        session.flush()
        after = stored(session.connection(), Item)
        told = [e for e in state.transaction.events if e.record_name == "Item"]
        assert [(dict(e.record), e.old_record) for e in told] == ([(after, before)] if after != before else [])
        session.commit()
    assert system.check().ok


TRIGGERS = {
    "sqlite": [
        """CREATE TRIGGER shout AFTER UPDATE OF note ON item
        BEGIN UPDATE item SET note = upper(note) WHERE id = new.id; END"""
    ],
    "postgresql": [
        """CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN new.note = upper(new.note); RETURN new; END $$""",
        "CREATE TRIGGER shout BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION shout()",
    ],
}


def test_rows_with_triggers_are_read(system: iq.System, engine: Engine) -> None:
    with engine.begin() as connection:
        for ddl in TRIGGERS[engine.dialect.name]:
            connection.execute(text(ddl))
    assert_told(system, Item, assign(amount=9, note="b"))


@pytest.mark.parametrize("moment", ["before_update", "after_update"])
def test_what_mapper_events_write_is_told(system: iq.System, moment: str) -> None:
    def by_core(mapper: Any, connection: Connection, target: Any) -> None:
        connection.execute(update(ITEMS).where(ITEMS.c.id == 1).values(note="core"))

    def by_attribute(mapper: Any, connection: Connection, target: Any) -> None:
        target.note = "seen"

    listeners: list[Any] = [by_core, *([by_attribute] if moment == "before_update" else [])]
    for n, listener in enumerate(listeners):
        event.listen(Item, moment, listener)
        try:
            assert_told(system, Item, assign(amount=20 + n))
        finally:
            event.remove(Item, moment, listener)


@pytest.mark.parametrize("write", [assign(amount=9), assign(order_id=2), remove])
def test_no_row_is_read_once_more(system: iq.System, engine: Engine, write: Write) -> None:
    counts: list[list[str]] = []
    for collects in (False, True):
        with system.session_factory() as session:
            SessionState.of(session).collect_events = True  # whether a table has triggers is asked once
            session.get_one(Item, 1).amount += 1
            session.flush()
            SessionState.of(session).collect_events = collects
            item = session.get_one(Item, 1)
            write(session, item)
            with count_statements(engine) as statements:
                session.flush()
            counts.append([statement.split()[0] for statement in statements])
            session.rollback()
    assert counts[0] == counts[1]
