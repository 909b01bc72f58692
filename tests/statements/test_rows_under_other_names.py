"""Rows that PostgreSQL shows under other names: partitions, inherited tables, updatable views, tables with rules.

A write to the watched table is followed, wherever its rows are; one to another name is refused by both names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, delete, insert, table, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem, make_postgres_system
from tests.engine.schedules import engine_of
from tests.support.statements import count_statements

__all__ = ["make_postgres_system"]


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship(primaryjoin="Box.id == foreign(Item.box_id)", viewonly=True)
    size: Mapped[int] = iq.computed(iq.Count("items"))
    total: Mapped[int] = iq.computed(iq.Summation("items", "doubled"))


class Item(Base):
    __tablename__ = "item"
    __table_args__ = {"postgresql_partition_by": "RANGE (shelf)"}
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int]
    amount: Mapped[int] = mapped_column(default=1)
    doubled: Mapped[int] = iq.computed(lambda item: item.amount * 2)


class Copy(Base):
    __tablename__ = "copy"
    __computation__ = iq.Transform(Item, lambda item: {"amount": item.amount})
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)


DDL = [
    "CREATE TABLE item_low PARTITION OF item FOR VALUES FROM (0) TO (10)",
    "CREATE TABLE item_high PARTITION OF item FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id)",
    "CREATE TABLE item_high_1 PARTITION OF item_high FOR VALUES FROM (0) TO (1000)",
    "CREATE VIEW item_view AS SELECT id, shelf, box_id, amount FROM item WHERE shelf < 5",
    "CREATE VIEW view_of_view AS SELECT * FROM item_view",
    "CREATE TABLE box_child () INHERITS (box)",
    "CREATE TABLE ruled (id INTEGER, shelf INTEGER, box_id INTEGER, amount INTEGER)",
    "CREATE RULE to_item AS ON INSERT TO ruled DO INSTEAD INSERT INTO item SELECT new.id, new.shelf, new.box_id, 1",
    "CREATE VIEW note_view AS SELECT id FROM note",
]
OTHER_NAMES = ["item_low", "item_high_1", "item_view", "view_of_view", "ruled"]


@pytest.fixture
def system(make_postgres_system: MakeSystem) -> iq.System:
    system = make_postgres_system(Base)
    with engine_of(system).begin() as connection:
        for statement in DDL:
            connection.execute(text(statement))
    with system.session_factory.begin() as session:
        session.add_all([Box(id=1), Box(id=2)])
        session.add_all([Item(id=1, shelf=1, box_id=1), Item(id=2, shelf=12, box_id=1)])
    assert system.check().ok
    return system


def other(name: str) -> Table:
    columns = (Column(key, Integer, primary_key=key == "id") for key in ("id", "shelf", "box_id"))
    return Table(name, MetaData(), *columns)


def writes(name: str) -> Sequence[Any]:
    target = other(name)
    row = {"id": 9, "shelf": 12 if name == "item_high_1" else 2, "box_id": 2}
    if name == "ruled":
        return [insert(target).values(row)]
    return [insert(target).values(row), update(target).values(box_id=2), delete(target)]


def test_what_is_written_to_the_table_is_followed(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.get_one(Item, (1, 1)).amount = 5
        session.get_one(Item, (2, 12)).shelf = 3  # into another partition
        session.flush()
        session.execute(insert(Item), [{"id": n, "shelf": n, "box_id": 2} for n in range(5, 15)])
        session.execute(update(Item).where(Item.shelf > 7).values(amount=Item.amount + 1))
        session.execute(delete(Item).where(Item.id == 6))
    assert system.check().ok
    with system.session_factory() as session:
        assert (session.get_one(Box, 1).size, session.get_one(Box, 2).size) == (2, 9)
        session.rollback()


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_another_name_is_refused(system: iq.System, name: str) -> None:
    for statement in writes(name):
        with system.session_factory() as session:
            with pytest.raises(iq.UnmanagedWriteError, match=rf"{name}.*'item'.*write to 'item'") as caught:
                session.execute(statement)
            assert caught.value.table == "item"
            session.rollback()
    with system.session_factory() as session, pytest.raises(iq.UnmanagedWriteError, match=name):
        session.connection().execute(insert(table(name, Column("id", Integer))).values(id=1))
    assert system.check().ok


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_text_and_other_sessions_are_warned(system: iq.System, name: str) -> None:
    shelf = 12 if name == "item_high_1" else 2
    statement = f"INSERT INTO {name} (id, shelf, box_id, amount) VALUES (9, {shelf}, 2, 1)"
    with system.session_factory() as session:
        with pytest.warns(iq.UnfollowedWriteWarning, match=f"writes 'item' .insert through '{name}'"):
            session.execute(text(statement))
        session.rollback()
    with engine_of(system).connect() as connection:
        with pytest.warns(iq.UnattachedWriteWarning, match=f"through '{name}'"):
            connection.execute(writes(name)[-1])
        connection.rollback()
    assert system.check().ok


def test_a_child_of_a_host(system: iq.System) -> None:
    target = Table("box_child", MetaData(), Column("id", Integer, primary_key=True), Column("size", Integer))
    with system.session_factory() as session, pytest.raises(iq.UnmanagedWriteError, match=r"'box_child'.*'box'"):
        session.execute(update(target).values(size=4))
    allowing = iq.System(engine_of(system), base=Base, unmanaged_dml="allow")
    with allowing.session_factory.begin() as session:
        session.execute(update(target).values(size=4))


def test_others_are_left_alone_and_asked_about_once(system: iq.System) -> None:
    targets = [Note.__table__, other("note_view"), other("elsewhere")]
    with engine_of(system).begin() as connection:
        connection.execute(text("CREATE TABLE elsewhere (id INTEGER)"))
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        for n in (1, 2):
            for target in targets:
                session.execute(delete(target).where(target.c.id == n))
    assert len([found for found in statements if found.startswith("DELETE")]) == 6
    assert not [found for found in statements if "pg_" in found]
    assert system.check().ok
