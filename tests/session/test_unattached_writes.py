"""A write by a session or connection that no system is attached to is heard: once for each table, with the way out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import CTE, Engine, ForeignKey, MetaData, Table, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = iq.computed(iq.Count("items"))
    items: Mapped[list[Item]] = relationship(back_populates="box")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
    box: Mapped[Box] = relationship(back_populates="items")


class Note(Base):
    """Nothing is computed from it."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)


def system_on(engine: Engine, **options: Any) -> iq.System:
    Base.metadata.create_all(engine)
    system = iq.System(engine, base=Base, **options)
    with system.session_factory.begin() as session:
        session.add(Box(id=1))
    return system


def by_the_orm(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.add(Item(box_id=1))


def by_a_statement(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.execute(insert(Item), [{"box_id": 1}])


def by_core(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(Item.__table__).values(box_id=1))  # type: ignore[arg-type]


def by_another_table_object(engine: Engine) -> None:
    item = Table("item", MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        connection.execute(item.insert(), [{"box_id": 1}])


def by_a_test_fixture(engine: Engine) -> None:
    """Run a session within a transaction of its connection."""
    with (
        engine.connect() as connection,
        connection.begin(),
        Session(bind=connection, join_transaction_mode="create_savepoint") as session,
    ):
        session.add(Item(box_id=1))
        session.commit()


WAYS: list[Callable[[Engine], None]] = [by_the_orm, by_a_statement, by_core, by_another_table_object, by_a_test_fixture]


@pytest.mark.parametrize("way", WAYS)
def test_it_warns_once_for_a_table(engine: Engine, way: Callable[[Engine], None]) -> None:
    system = system_on(engine)
    with pytest.warns(iq.UnattachedWriteWarning, match=r"insert on 'item'.*system\.attach\(") as told:
        way(engine)
    assert [warning.filename for warning in told] == [__file__]  # the line of the program, not of a library
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        way(engine)
    with pytest.warns(iq.UnattachedWriteWarning, match="update on 'box'"), engine.begin() as connection:
        connection.execute(update(Box.__table__).values(size=0))  # type: ignore[arg-type]
    system.repair()
    assert system.check().ok


@pytest.mark.parametrize("way", WAYS)
def test_it_is_refused_before_any_sql(engine: Engine, way: Callable[[Engine], None]) -> None:
    system = system_on(engine, unattached="raise")
    with pytest.raises(iq.UnmanagedWriteError, match="insert on 'item'"):
        way(engine)
    assert system.check().ok
    with engine.connect() as connection:
        assert connection.scalars(select(Item.id)).all() == []


@pytest.mark.parametrize("way", WAYS)
def test_it_is_allowed(engine: Engine, way: Callable[[Engine], None]) -> None:
    system = system_on(engine, unattached="allow")
    way(engine)
    system.repair()
    assert system.check().ok


def test_what_is_none_of_its_business(engine: Engine) -> None:
    """Other tables, reads, attached sessions, and what the package itself runs."""
    system = system_on(engine, unattached="raise")
    with engine.begin() as connection:
        connection.execute(insert(Note.__table__).values(id=1))  # type: ignore[arg-type]
        connection.execute(select(Item.id)).all()
        connection.execute(text("CREATE TABLE beside (id INTEGER)"))
        connection.execute(Table("beside", MetaData(), autoload_with=connection).insert().values(id=1))
    with system.session_factory.begin() as session:
        session.add(Item(box_id=1))
        session.execute(insert(Item), [{"box_id": 1}])
    system.storage.create(Item, {"box_id": 1})
    system.repair()
    assert system.check().ok


def test_a_write_inside_a_statement(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        return  # it has no writes inside statements
    system = system_on(engine, unattached="raise")
    written: CTE = insert(Item).values(box_id=1).returning(Item.id).cte("written")
    with pytest.raises(iq.UnmanagedWriteError, match="insert on 'item'"), engine.begin() as connection:
        connection.execute(select(written.c.id))
    assert system.check().ok


def test_a_wrong_word() -> None:
    from sqlalchemy import create_engine

    with pytest.raises(iq.FrameworkError, match="unattached"):
        iq.System(create_engine("sqlite://"), base=Base, unattached="shout")  # type: ignore[arg-type]


async def test_asynchronous_sessions(async_engine: AsyncEngine) -> None:
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    system = iq.AsyncSystem(async_engine, base=Base)
    async with system.session_factory.begin() as session:
        session.add(Box(id=1))
    with pytest.warns(iq.UnattachedWriteWarning, match="insert on 'item'"):
        async with AsyncSession(async_engine) as session, session.begin():
            session.add(Item(box_id=1))
    await system.repair()


def test_a_refused_write_leaves_nothing_to_repair(engine: Engine) -> None:
    system_on(engine, unattached="raise")
    with pytest.raises(iq.UnmanagedWriteError) as refused:
        by_core(engine)
    assert "system.attach(…)" in str(refused.value)
    assert "repair" not in str(refused.value)


def test_one_filter_for_every_write_that_is_not_followed(engine: Engine) -> None:
    system = system_on(engine)
    with pytest.warns(iq.UnfollowedWriteWarning, match="insert on 'item'"):
        by_core(engine)
    with system.session_factory() as session, pytest.warns(iq.UnfollowedWriteWarning, match="SQL text"):
        session.execute(text("INSERT INTO item (id, box_id) VALUES (7, 1)"))
    allowing = iq.System(engine, base=Base, unattached="allow", unmanaged_dml="warn")
    with allowing.session_factory() as session, pytest.warns(iq.UnfollowedWriteWarning, match="item"):
        session.connection().execute(insert(Item), [{"box_id": 1}])
    assert issubclass(iq.UnattachedWriteWarning, iq.UnfollowedWriteWarning)
