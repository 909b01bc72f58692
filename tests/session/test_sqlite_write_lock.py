"""The write lock of SQLite: who waits for it in vain is told who holds it, and AUTOCOMMIT stays what it is."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session, sessionmaker

import interaqt_sa as iq
from interaqt_sa.dialects import sqlite_transactions as sqlite
from tests.session.cupboard import Cupboard
from tests.support.engines import AsyncEngineFactory, EngineFactory

OWN = "another session or connection of this thread has begun a transaction.*even if it has only read"
OTHER = "another session, thread or program has held the write lock"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "OWN_TIMEOUT", 0.05)
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 0.1)


@pytest.fixture
def engine(engine_for: EngineFactory) -> Engine:
    return engine_for("pysqlite")


def test_another_session_of_this_thread_holds_it(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    with system.session_factory() as reading:
        reading.scalars(select(cupboard.Box)).all()
        for work in (
            system.check,
            lambda: system.storage.create(cupboard.Item, {"box_id": 1}),
            lambda: iq.run_with_transaction_retry(system.session_factory, lambda s: s.add(cupboard.Box())),
            lambda: system.session_factory().connection(),
        ):
            with pytest.raises((OperationalError, iq.TransactionRetryExhaustedError)) as failed:
                work()
            error = failed.value if isinstance(failed.value, OperationalError) else failed.value.__cause__
            assert isinstance(error, OperationalError)
            with pytest.raises(OperationalError, match=OWN):
                raise error
    assert system.check().ok  # it can be had again


def test_it_is_a_lock_that_may_be_waited_for(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    with system.session_factory() as reading:
        reading.connection()
        with pytest.raises(OperationalError) as failed, system.session_factory() as session:
            session.connection()
    found = iq.normalize_database_error(failed.value)
    assert found is not None
    assert (found.kind, found.code, found.driver) == ("lock", "SQLITE_BUSY", "sqlite3")
    assert iq.is_retryable_transaction_error(failed.value)


def test_another_thread_holds_it(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with system.session_factory() as session:
            session.connection()
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(10)
        with pytest.raises(OperationalError, match=OTHER), system.session_factory() as session:
            session.connection()
    finally:
        done.set()
        thread.join()
    assert system.check().ok


def test_another_program_holds_it(engine: Engine, engine_for: EngineFactory) -> None:
    system = Cupboard().system(engine)
    other = engine_for("pysqlite")
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match=OTHER), system.session_factory() as session:
            session.connection()


def test_a_session_that_has_ended_holds_nothing(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    for end in ("commit", "rollback", "close"):
        session: Session = system.session_factory()
        session.add(cupboard.Item(box_id=1))
        session.flush()
        getattr(session, end)()
        assert system.check().ok


async def test_another_session_of_this_task_holds_it(async_engine_for: AsyncEngineFactory) -> None:
    engine: AsyncEngine = async_engine_for("aiosqlite")
    cupboard = Cupboard()
    async with engine.begin() as connection:
        await connection.run_sync(cupboard.Base.metadata.create_all)
    system = iq.AsyncSystem(engine, base=cupboard.Base)
    async with system.session_factory() as reading:
        assert await reading.connection()
        with pytest.raises(OperationalError, match=OWN):
            await system.check()
    assert (await system.check()).ok


@pytest.mark.parametrize("is_first", [True, False])
def test_autocommit_commits(engine: Engine, is_first: bool) -> None:
    """A connection in AUTOCOMMIT begins nothing, and what uses it afterwards does."""
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    system = iq.System(engine, base=cupboard.Base)
    if not is_first:
        assert system.check().ok
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(insert(cupboard.Note), [{"id": 1}])
        raw: Any = connection.connection.dbapi_connection
        assert not raw.in_transaction
    with system.session_factory() as session:
        assert session.scalars(select(cupboard.Note.id)).all() == [1]
        raw = session.connection().connection.dbapi_connection
        assert raw.in_transaction
        session.execute(text("INSERT INTO note (id) VALUES (2)"))
        session.rollback()
        assert session.scalars(select(cupboard.Note.id)).all() == [1]


def test_an_application_that_begins_by_itself_keeps_its_way(engine_for: EngineFactory) -> None:
    engine = engine_for("pysqlite", connect_args={"isolation_level": None})
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=cupboard.Base)
    with system.session_factory() as session:
        raw: Any = session.connection().connection.dbapi_connection
        assert not raw.in_transaction
