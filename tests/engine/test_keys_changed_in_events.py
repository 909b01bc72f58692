"""Keys that mapper events change: followed where the row is still to be written, refused after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, ForeignKey, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Kept
from tests.engine.listened import hooked


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    items: Mapped[list[Item]] = relationship(back_populates="box")
    size: Mapped[int] = iq.computed(iq.Count("items"))
    label: Mapped[str] = iq.computed(lambda box: f"{box.id}: {box.size}")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id", onupdate="CASCADE"))
    box: Mapped[Box | None] = relationship(back_populates="items")
    amount: Mapped[int] = mapped_column(default=0)
    shown: Mapped[str] = iq.computed(lambda item: f"{item.id}: {item.amount}")


class Copy(Base):
    __tablename__ = "copy"
    __computation__ = iq.Transform(Item, lambda item: {"item_id": item.id})
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int]


@pytest.fixture
def kept(engine: Engine) -> Kept:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.add(Box(id=1, items=[Item()]))  # its id comes from the sequence
    return kept


def by_attribute(_: Connection, instance: Any) -> None:
    instance.id += 100


def by_statement(connection: Connection, instance: Any) -> None:
    table = type(instance).__table__
    connection.execute(update(table).where(table.c.id == instance.id).values(id=instance.id + 100))


def insert_item(session: Session) -> None:
    session.add(Item(id=2, box_id=1))


def insert_item_without_id(session: Session) -> None:
    session.add(Item(box_id=1))


def insert_box(session: Session) -> None:
    session.add(Box(id=2))


def update_item(session: Session) -> None:
    session.get_one(Item, 1).amount = 7


def update_box(session: Session) -> None:
    session.get_one(Box, 1).name = "x"


WORKS = [insert_item, insert_item_without_id, insert_box, update_item, update_box]


def event_of(work: Callable[[Session], None]) -> tuple[Any, str]:
    kind, name = work.__name__.split("_")[:2]
    return {"item": Item, "box": Box}[name], kind


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
@pytest.mark.parametrize("change", [by_attribute, by_statement], ids=lambda change: change.__name__)
def test_refused_after_the_row_was_written(
    kept: Kept, change: Callable[[Connection, Any], None], work: Callable[[Session], None]
) -> None:
    cls, kind = event_of(work)
    message = "after its row was written" if change is by_attribute else "computed values"
    with kept.sessions() as session, hooked(cls, f"after_{kind}", change):
        work(session)
        with pytest.raises(iq.UnmanagedWriteError, match=message) as caught:
            session.flush()
        assert caught.value.table == cls.__tablename__
        session.rollback()
    kept.verify()


@pytest.mark.parametrize("work", [insert_item, insert_box, update_item], ids=lambda work: work.__name__)
def test_followed_before_the_row_is_written(kept: Kept, work: Callable[[Session], None]) -> None:
    cls, kind = event_of(work)
    with kept.begin() as session, hooked(cls, f"before_{kind}", by_attribute):
        work(session)
        session.flush()
    with kept.begin() as session:
        assert session.scalars(select(cls.id).where(cls.id > 100)).all() == [102 if kind == "insert" else 101]
        assert sorted(session.scalars(select(Copy.item_id))) == sorted(session.scalars(select(Item.id)))
    kept.verify()


@pytest.mark.parametrize("name", ["after_insert", "after_update"])
def test_keys_of_the_application_beside_such_listeners(kept: Kept, name: str) -> None:
    """A key that the application itself changes is written, whoever hears of it; so is one that the database gives."""
    heard: list[Any] = []

    def hear(_: Connection, instance: Any) -> None:
        heard.append(instance)

    with hooked(Item, name, hear), hooked(Box, name, hear), kept.begin() as session:
        session.get_one(Item, 1).id = 8
        session.get_one(Box, 1).id = 9
        session.flush()
        session.add(Item(id=20, box_id=9))
        session.flush()
        session.delete(session.get_one(Item, 20))
    assert heard
    assert kept.stored(Box.id, Box.size, Box.label) == [(9, 1, "9: 1")]


def test_a_row_that_a_listener_deletes_again(kept: Kept) -> None:
    def delete(connection: Connection, item: Any) -> None:
        connection.execute(Item.__table__.delete().where(Item.__table__.c.id == item.id))  # type: ignore[attr-defined]

    with hooked(Item, "after_insert", delete), kept.begin() as session:
        insert_item(session)
    assert kept.stored(Box.id, Box.size) == [(1, 1)]
