"""A rollback undoes; it never raises the faults of declarations, which the flush has raised already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, insert
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard


class Faulty:
    """Models of which one value cannot be computed: the field of its members does not exist."""

    def __init__(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"))

        class Box(Base):
            __tablename__ = "box"
            id: Mapped[int] = mapped_column(primary_key=True)
            items: Mapped[list[Item]] = relationship(Item)
            least: Mapped[int | None] = iq.computed(iq.Min("items", "missing"))

        self.Base, self.Box, self.Item = Base, Box, Item


def flush(session: Session, *objects: Any) -> None:
    session.add_all(objects)
    session.flush()


@pytest.fixture
def faulty(engine: Engine) -> tuple[Faulty, sessionmaker[Session]]:
    models = Faulty()
    models.Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    iq.System(sessions, base=models.Base)
    return models, sessions


@pytest.mark.parametrize("end", [Session.rollback, Session.close, Session.invalidate, Session.reset])
def test_the_end_of_a_session(faulty: tuple[Faulty, sessionmaker[Session]], end: Callable[[Session], None]) -> None:
    models, sessions = faulty
    session, box = sessions(), models.Box()  # SQLAlchemy tells listeners of objects that somebody holds
    session.add(box)
    with pytest.raises(iq.DefinitionError, match="missing"):
        session.flush()
    end(session)
    assert box not in session
    session.close()


def test_the_end_of_a_block_shows_the_faults_once(faulty: tuple[Faulty, sessionmaker[Session]]) -> None:
    models, sessions = faulty
    boxes = [models.Box(), models.Box()]
    with pytest.raises(iq.DefinitionError, match="missing") as raised, sessions.begin() as session:
        flush(session, *boxes)
    assert raised.value.__context__ is None


@pytest.mark.parametrize("in_block", [False, True])
def test_a_savepoint(faulty: tuple[Faulty, sessionmaker[Session]], in_block: bool) -> None:
    models, sessions = faulty
    with sessions() as session:
        session.begin()
        savepoint = session.begin_nested()
        box = models.Box()
        session.add(box)
        if in_block:
            with pytest.raises(iq.DefinitionError, match="missing") as raised, savepoint:
                session.flush()
            assert raised.value.__context__ is None
        else:
            with pytest.raises(iq.DefinitionError, match="missing"):
                session.flush()
            savepoint.rollback()
        assert box not in session
        session.commit()


async def test_asynchronous_sessions(async_engine: AsyncEngine) -> None:
    models = Faulty()
    async with async_engine.begin() as connection:
        await connection.run_sync(models.Base.metadata.create_all)
    sessions, box = async_sessionmaker(async_engine), models.Box()
    iq.AsyncSystem(sessions, base=models.Base)

    async def flush_box(session: AsyncSession) -> None:
        session.add(box)
        await session.flush()

    with pytest.raises(iq.DefinitionError, match="missing") as raised:
        async with sessions.begin() as session:
            await flush_box(session)
    assert raised.value.__context__ is None
    for end in (AsyncSession.rollback, AsyncSession.close):
        session = sessions()
        with pytest.raises(iq.DefinitionError, match="missing"):
            await flush_box(session)
        await end(session)
        assert box not in session
        await session.close()
    async with sessions() as session, session.begin():
        with pytest.raises(iq.DefinitionError, match="missing") as raised:
            async with session.begin_nested():
                await flush_box(session)
        assert raised.value.__context__ is None


# -- declarations that become faulty within a transaction ------------------------------------------------------------


def _declare_fault(cupboard: Cupboard) -> Any:
    class Shelf(cupboard.Base):  # type: ignore[name-defined, misc]
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"))
        boxes: Mapped[list[Any]] = relationship(cupboard.Box)
        least: Mapped[int | None] = iq.computed(iq.Min("boxes", "missing"))

    return Shelf


def _declare_relationship(cupboard: Cupboard) -> Any:
    class Shelf(cupboard.Base):  # type: ignore[name-defined, misc]
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        boxes: Mapped[list[Any]] = relationship("Missing")

    return Shelf


def _declare_soundly(cupboard: Cupboard) -> Any:
    class Drawer(cupboard.Base):  # type: ignore[name-defined, misc]
        __tablename__ = "drawer"
        id: Mapped[int] = mapped_column(primary_key=True)

    return Drawer


@pytest.mark.parametrize("declare", [_declare_fault, _declare_relationship])
@pytest.mark.parametrize("again", [False, True])
def test_declared_after_the_flush(engine: Engine, declare: Callable[[Cupboard], Any], again: bool) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    with system.session_factory() as session:
        box = cupboard.Box(id=2, items=[cupboard.Item()])
        session.add(box)
        session.flush()
        assert box.size == 1
        drawer = _declare_soundly(cupboard) if again else None
        session.execute(insert(cupboard.Note))  # compiles the declarations again if there is a new class
        shelf = declare(cupboard)
        with pytest.raises((iq.DefinitionError, InvalidRequestError)):
            flush(session, cupboard.Box(id=3))
        session.rollback()
        # the values that the engine set are gone with the row, so that the object can be added again
        assert "size" not in vars(box)
        del drawer, shelf


@pytest.mark.parametrize("declare", [_declare_fault, _declare_relationship])
def test_a_detached_session_within_a_savepoint(engine: Engine, declare: Callable[[Cupboard], Any]) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    with system.session_factory() as session:
        box = session.get_one(cupboard.Box, 1)
        savepoint = session.begin_nested()
        session.add(cupboard.Item(box=box))
        session.flush()
        assert box.size == 1
        shelf = declare(cupboard)
        system.detach(system.session_factory)
        savepoint.rollback()
        assert "size" not in vars(box)
        del shelf
