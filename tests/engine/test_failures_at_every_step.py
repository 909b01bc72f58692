"""Whatever statement of a write fails: after a commit there is all of the write or nothing, and values are true."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Kept


class Base(DeclarativeBase):
    metadata = MetaData()


class Shop(Base):
    __tablename__ = "shop"
    id: Mapped[int] = mapped_column(primary_key=True)
    orders: Mapped[list[Order]] = relationship(back_populates="shop")
    total: Mapped[int] = iq.computed(iq.Summation("orders", "total"))


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shop.id"))
    shop: Mapped[Shop] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order")
    total: Mapped[int] = iq.computed(iq.Summation("items", "amount"))


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id", ondelete="CASCADE"))
    order: Mapped[Order] = relationship(back_populates="items")
    amount: Mapped[int] = mapped_column(default=1)
    code: Mapped[int] = mapped_column(unique=True)


class Visit(Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)
    days: Mapped[int]
    twice: Mapped[int] = iq.computed(lambda visit: visit.days * 2)


class Bill(Base):
    __tablename__ = "bill"
    __computation__ = iq.Transform(Visit, lambda visit: [{"amount": visit.days}, {"amount": visit.twice}])
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


@pytest.fixture
def kept(engine: Engine) -> Kept:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.add_all([Shop(id=1), Shop(id=2)])
        session.flush()
        session.add_all([Order(id=n, shop_id=1) for n in (1, 2)])
        session.flush()
        session.add_all([Item(id=n, order_id=1, amount=n, code=n) for n in (1, 2, 3)])
        session.add_all([Visit(id=1, days=3), Visit(id=2, days=4)])
    return kept


def _upsert(session: Session) -> None:
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    rows = [{"id": n + 10, "order_id": 2, "amount": 5, "code": n} for n in (3, 4, 5)]
    statement = dialect.insert(Item).values(rows)
    session.execute(
        statement.on_conflict_do_update(index_elements=["code"], set_={"amount": statement.excluded.amount})
    )


def _flush(session: Session) -> None:
    item, visit, gone = session.get_one(Item, 1), session.get_one(Visit, 1), session.get_one(Item, 2)
    session.add(Item(id=50, order_id=2, amount=7, code=50))
    item.amount, visit.days = 9, 8
    session.delete(gone)
    session.flush()


WRITES: dict[str, Callable[[Session], Any]] = {
    "insert": lambda s: s.execute(insert(Item).values(id=9, order_id=2, amount=4, code=9)),
    "insert a list": lambda s: s.execute(
        insert(Item), [{"id": n, "order_id": 1 + n % 2, "amount": 4, "code": n} for n in (7, 8, 9)]
    ),
    "insert, Python follows": lambda s: s.execute(insert(Visit), [{"id": n, "days": n} for n in (7, 8)]),
    "update": lambda s: s.execute(update(Item).values(amount=Item.amount + 1)),
    "update to another host": lambda s: s.execute(update(Item).where(Item.id < 3).values(order_id=2)),
    "update a list": lambda s: s.execute(update(Item), [{"id": n, "amount": 10 * n} for n in (1, 2, 3)]),
    "update, Python follows": lambda s: s.execute(update(Visit).values(days=Visit.days + 1)),
    "delete": lambda s: s.execute(delete(Item).where(Item.id > 1)),
    "delete a parent": lambda s: s.execute(delete(Order).where(Order.id == 1)),
    "delete, Python follows": lambda s: s.execute(delete(Visit).where(Visit.id == 2)),
    "upsert": _upsert,
    "flush": _flush,
}


class Interrupted(BaseException):
    """What is not an Exception, as when a task is cancelled."""


@contextmanager
def failing_at(
    engine: Engine, place: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> Generator[list[str]]:
    """Let the driver refuse one statement, which it does not send; an observed connection would be another one."""
    sent: list[str] = []
    dialect: Any = engine.dialect

    def wrapped(name: str) -> Callable[..., Any]:
        original = getattr(dialect, name)

        def run(cursor: Any, statement: str, *rest: Any, **named: Any) -> Any:
            sent.append(statement)
            if len(sent) == place:
                raise error
            return original(cursor, statement, *rest, **named)

        return run

    with monkeypatch.context() as patch:
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            patch.setattr(dialect, name, wrapped(name))
        yield sent


def tables(connection: Any) -> list[Any]:
    # derived rows have other keys each time; the check compares what they hold
    found = (connection.execute(select(t).order_by(t.c.id)) for t in Base.metadata.sorted_tables if t.name != "bill")
    return [[tuple(row) for row in rows] for rows in found]


@pytest.mark.parametrize("what", WRITES)
def test_all_or_nothing(kept: Kept, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dbapi: Any = kept.engine.dialect.loaded_dbapi
    errors = [dbapi.OperationalError("told to"), Interrupted()]
    with kept.sessions() as session:
        before = tables(session.connection())
        WRITES[what](session)
        after = tables(session.connection())
    for place in range(1, 40):
        ended = False
        with kept.sessions() as session:
            held = session.get_one(Item, 3), session.get_one(Shop, 1)
            with failing_at(kept.engine, place, errors[place % 2], monkeypatch) as sent:
                try:
                    WRITES[what](session)
                    ended = len(sent) < place
                except (DBAPIError, Interrupted):
                    pass
            if what == "flush":
                session.expunge_all()  # it may have failed before it wrote, and the commit would flush again
            with suppress(PendingRollbackError):
                session.commit()
            session.rollback()
            assert ended or what == "flush" or held[0].amount is not None
        kept.verify()
        with kept.engine.connect() as connection:
            found = tables(connection)
        if ended:
            assert found == after != before
            assert place > 2
            return
        assert found == before, f"statement {place}: {sent[-1]}"
    raise AssertionError("it never ended")
