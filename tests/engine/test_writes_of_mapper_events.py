"""What mapper events write, and what they change in objects, is followed as a part of the flush or refused before."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    delete,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, object_session, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Kept


class Base(DeclarativeBase):
    metadata = MetaData()


tagged = Table(
    "tagged",
    Base.metadata,
    Column("item_id", Integer, ForeignKey("item.id", ondelete="CASCADE"), primary_key=True),
    Column("tag_id", Integer, ForeignKey("tag.id"), primary_key=True),
)


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]
    touched: Mapped[int] = mapped_column(default=0)
    rate: Mapped[int] = mapped_column(default=1)
    items: Mapped[list[Item]] = relationship(back_populates="order")
    count: Mapped[int] = iq.computed(iq.Count("items"))
    total: Mapped[int] = iq.computed(iq.Summation("items", "doubled"))
    rated: Mapped[int] = iq.computed(iq.Summation("items", "rate"))


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
    amount: Mapped[int] = mapped_column(default=1)
    note: Mapped[str | None]
    doubled: Mapped[int] = iq.computed(lambda item: item.amount * 2)
    rate: Mapped[int] = mapped_column(default=1)
    order: Mapped[Order] = relationship(back_populates="items")
    tags: Mapped[list[Tag]] = relationship(secondary=tagged)


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship(secondary=tagged, viewonly=True)
    count: Mapped[int] = iq.computed(iq.Count("items"))


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


Hook = Callable[[Connection, Any], object]
ITEM: Any = Item.__table__
ORDER: Any = Order.__table__

FOLLOWED: dict[str, Hook] = {
    "update of another row": lambda c, _: c.execute(update(ITEM).where(ITEM.c.id == 3).values(amount=70)),
    "update of the row itself": lambda c, item: c.execute(update(ITEM).where(ITEM.c.id == item.id).values(amount=70)),
    "update of all rows": lambda c, _: c.execute(update(ITEM).values(amount=ITEM.c.amount + 100)),
    "a row moves": lambda c, _: c.execute(update(ITEM).where(ITEM.c.id == 2).values(order_id=2)),
    "the row itself moves": lambda c, item: c.execute(update(ITEM).where(ITEM.c.id == item.id).values(order_id=2)),
    "update with a subquery": lambda c, _: c.execute(
        update(ITEM).where(ITEM.c.order_id.in_(select(ORDER.c.id).where(ORDER.c.id == 1))).values(amount=9)
    ),
    "update by the class": lambda c, _: c.execute(update(Item).where(Item.id == 3).values(amount=71)),
    "insert": lambda c, item: c.execute(insert(ITEM).values(id=item.id + 1000, order_id=2, amount=40)),
    "insert of several": lambda c, item: c.execute(
        insert(ITEM), [{"id": 10 * item.id + n, "order_id": n % 2 + 1, "amount": n} for n in (2000, 2001)]
    ),
    "delete of another row": lambda c, _: c.execute(delete(ITEM).where(ITEM.c.id == 3)),
    "a link": lambda c, item: c.execute(insert(tagged).values(item_id=1 if item.id == 2 else 3, tag_id=2)),
    "a link goes": lambda c, _: c.execute(delete(tagged).where(tagged.c.tag_id == 1)),
    "a counter of the host": lambda c, item: c.execute(
        update(ORDER).where(ORDER.c.id == item.order_id).values(touched=ORDER.c.touched + 1)
    ),
    "a row of the history": lambda c, item: c.execute(insert(Audit).values(text=f"item {item.id}")),
    "twice": lambda c, item: [
        c.execute(update(ITEM).where(ITEM.c.id == item.id).values(amount=ITEM.c.amount + 1)) for _ in range(2)
    ],
    "by the session": lambda _, item: session_of(item).execute(update(Item).where(Item.id == 3).values(amount=5)),
    "a delete by the session": lambda _, item: session_of(item).execute(delete(Item).where(Item.id == 3)),
}
REFUSED: dict[str, Hook] = {
    "a computed column": lambda c, _: c.execute(update(ORDER).values(count=7)),
    "an insert whose key only the database knows": lambda c, _: c.execute(insert(ITEM).values(order_id=1)),
    "insert from select": lambda c, _: c.execute(
        insert(ITEM).from_select(["id", "order_id"], select(ITEM.c.id + 5000, ITEM.c.order_id))
    ),
    "keys": lambda c, _: c.execute(update(ITEM).where(ITEM.c.id == 3).values(id=33)),
    "rows by the session": lambda _, item: session_of(item).execute(insert(Item), [{"id": 901, "order_id": 1}]),
}


def session_of(instance: object) -> Session:
    session = object_session(instance)
    assert session is not None
    return session


@contextmanager
def hooked(name: str, hook: Hook, cls: type[Any] = Item) -> Generator[None]:
    def listener(mapper: Any, connection: Connection, target: Any) -> None:
        if target.id is None or target.id < 1000:
            hook(connection, target)

    event.listen(cls, name, listener)
    try:
        yield
    finally:
        event.remove(cls, name, listener)


@pytest.fixture
def kept(engine: Engine) -> Kept:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        tags = [Tag(id=1), Tag(id=2)]
        session.add_all([*tags, Order(id=1), Order(id=2)])
        session.flush()
        session.add_all([Item(id=n, order_id=1 + n // 3, amount=n, tags=tags[:1]) for n in (1, 2, 3)])
    return kept


def insert_one(session: Session) -> None:
    session.add(Item(id=50, order_id=1, amount=5))


def update_one(session: Session) -> None:
    session.get_one(Item, 1).amount = 11


def update_two(session: Session) -> None:
    for n in (2, 3):
        session.get_one(Item, n).amount += 10


def delete_one(session: Session) -> None:
    session.delete(session.get_one(Item, 2))


WORK = {
    "before_insert": insert_one,
    "after_insert": insert_one,
    "before_update": update_two,
    "after_update": update_one,
    "before_delete": delete_one,
    "after_delete": delete_one,
}
CASES = [
    (name, what)
    for name in ("after_insert", "before_update", "before_delete")
    for what in FOLLOWED
    # the unit of work counts the rows that it writes itself
    if not (what.endswith("another row") and what.startswith("delete") and name == "before_update")
    and not (what == "a delete by the session" and name == "before_update")
]


@pytest.mark.parametrize(("name", "what"), CASES)
def test_followed(kept: Kept, name: str, what: str) -> None:
    with hooked(name, FOLLOWED[what]), kept.begin() as session:
        WORK[name](session)
    kept.verify()


@pytest.mark.parametrize("what", FOLLOWED)
def test_loaded_hosts_are_fresh(kept: Kept, what: str) -> None:
    with hooked("after_insert", FOLLOWED[what]), kept.begin() as session:
        orders = session.scalars(select(Order)).all()
        SessionState.of(session).collect_events = True
        insert_one(session)
        session.flush()
        known = [(order.count, order.total) for order in orders]
        session.expire_all()
        assert known == [(order.count, order.total) for order in orders]
    kept.verify()


@pytest.mark.parametrize("what", FOLLOWED)
def test_of_objects_that_matter_to_nothing(kept: Kept, what: str) -> None:
    with kept.begin() as session:
        item, orders = session.get_one(Item, 1), session.scalars(select(Order)).all()
        with hooked("after_insert", lambda c, _: FOLLOWED[what](c, item), Audit):
            session.add(Audit(text="x"))
            session.flush()
        known = [(order.count, order.total) for order in orders]
        session.expire_all()
        assert known == [(order.count, order.total) for order in orders]
        session.add(Audit(text="y"))
        session.flush()
    kept.verify()


@pytest.mark.parametrize("name", ["before_flush", "after_flush_postexec"])
def test_around_a_flush_it_is_refused(kept: Kept, name: str) -> None:
    def listener(session: Session, *_: object) -> None:
        session.connection().execute(update(ITEM).values(amount=70))

    with kept.sessions() as session:
        event.listen(session, name, listener)
        session.add(Audit(text="x"))
        with pytest.raises(iq.UnmanagedWriteError):
            session.flush()
        session.rollback()
    kept.verify()


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("name", ["before_insert", "after_update"])
def test_refused(kept: Kept, name: str, what: str) -> None:
    with hooked(name, REFUSED[what]), kept.sessions() as session:
        with session.no_autoflush:
            WORK[name](session)
        with pytest.raises(iq.UnmanagedWriteError):
            session.flush()
        session.rollback()
    kept.verify()


def sets_input(_: Connection, item: Any) -> None:
    item.amount = 90


def moves(_: Connection, item: Any) -> None:
    item.order_id = 2


def sets_other_input(_: Connection, item: Any) -> None:
    item.rate = 7


def sets_all(_: Connection, item: Any) -> None:
    item.amount, item.rate, item.order_id, item.note = 8, 9, 2, "x"


@pytest.mark.parametrize("hook", [sets_input, moves, sets_other_input, sets_all], ids=lambda hook: hook.__name__)
@pytest.mark.parametrize("name", ["before_insert", "before_update"])
@pytest.mark.parametrize("attribute", ["amount", "note", "rate"])
def test_the_object_itself_changes(kept: Kept, name: str, hook: Hook, attribute: str) -> None:
    with hooked(name, hook), kept.begin() as session:
        if name == "before_insert":
            insert_one(session)
        else:
            setattr(session.get_one(Item, 1), attribute, "y" if attribute == "note" else 4)
            setattr(session.get_one(Item, 3), attribute, "z" if attribute == "note" else 5)
    kept.verify()
