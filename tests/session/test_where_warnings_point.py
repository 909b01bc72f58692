"""Warnings of writes name a line of the program, whatever runs the statement for it."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@contextmanager
def points_here(line: str) -> Generator[None]:
    """Expect one warning, at the line of this file that contains ``line``."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    found = [(w.filename, w.lineno) for w in told if "so that computed values" in str(w.message)]
    assert len(found) == 1, told
    lines = Path(__file__).read_text().splitlines()
    assert found[0][0] == __file__
    assert line in lines[found[0][1] - 1]


def test_flushes(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    sessions = sessionmaker(engine)
    with points_here("with sessions.begin() as session:"), sessions.begin() as session:
        session.add(cupboard.Item(box_id=1))
    system.repair()


def test_scoped_sessions(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    scoped = scoped_session(sessionmaker(engine))
    scoped.add(cupboard.Item(box_id=1))
    with points_here("scoped.commit()  # here"):
        scoped.commit()  # here
    scoped.remove()
    system.repair()


def test_text_of_an_attached_session(engine: Engine) -> None:
    system = Cupboard().system(engine)
    with system.session_factory() as session, points_here("session.execute(text("):
        session.execute(text("INSERT INTO item (box_id) VALUES (1)"))


def test_writes_past_an_attached_session(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine, unmanaged_dml="warn")
    with system.session_factory() as session, points_here("session.connection().execute("):
        session.connection().execute(insert(cupboard.item).values(box_id=1))


async def _system(cupboard: Cupboard, engine: AsyncEngine, **options: object) -> iq.AsyncSystem:
    async with engine.begin() as connection:
        await connection.run_sync(cupboard.Base.metadata.create_all)
    system = iq.AsyncSystem(engine, base=cupboard.Base, **options)  # type: ignore[arg-type]
    async with system.session_factory.begin() as session:
        session.add(cupboard.Box(id=1))
    return system


async def _add(session: AsyncSession, cupboard: Cupboard) -> None:
    session.add(cupboard.Item(box_id=1))
    await session.flush()  # of the innermost function


async def test_asynchronous_sessions(async_engine: AsyncEngine) -> None:
    cupboard = Cupboard()
    await _system(cupboard, async_engine)
    async with AsyncSession(async_engine) as session:
        with points_here("await session.flush()  # of the innermost function"):
            await _add(session, cupboard)


async def test_asynchronous_statements(async_engine: AsyncEngine) -> None:
    cupboard = Cupboard()
    await _system(cupboard, async_engine)
    scoped = async_scoped_session(async_sessionmaker(async_engine), scopefunc=lambda: 1)
    with points_here("await scoped.execute("):
        await scoped.execute(insert(cupboard.Item), [{"box_id": 1}])
    await scoped.remove()


async def test_asynchronous_connections(async_engine: AsyncEngine) -> None:
    cupboard = Cupboard()
    await _system(cupboard, async_engine)
    async with async_engine.begin() as connection:
        with points_here("await connection.execute(text("):
            await connection.execute(text("INSERT INTO item (box_id) VALUES (1)"))


async def test_asynchronous_sessions_run_functions(async_engine: AsyncEngine) -> None:
    cupboard = Cupboard()
    await _system(cupboard, async_engine)

    def work(session: Session) -> None:
        session.add(cupboard.Item(box_id=1))
        session.flush()  # of the function

    async with AsyncSession(async_engine) as session:
        with points_here("session.flush()  # of the function"):
            await session.run_sync(work)
