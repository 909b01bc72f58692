"""Retry of transactions after serialization failures and deadlocks."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from interaqt_sa.errors import RequireSerializableRetry, TransactionRetryExhaustedError
from interaqt_sa.session.factory_detection import SessionFactoryError
from interaqt_sa.session.retry import Attempt, run_attempts, run_with_transaction_retry
from tests.session.test_database_errors import FakeDriverError
from tests.support.engines import AsyncEngineFactory, EngineFactory


class Base(DeclarativeBase):
    pass


class Counter(Base):
    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(default=0)


def conflict() -> DBAPIError:
    return DBAPIError("UPDATE t", {}, FakeDriverError("40001"))


def test_a_conflict_is_repeated_with_growing_delays() -> None:
    attempts: list[Attempt] = []
    delays: list[float] = []

    def once(attempt: Attempt) -> str:
        attempts.append(attempt)
        if attempt.number < 4:
            raise conflict()
        return "done"

    assert run_attempts(once, name="test", sleep=delays.append) == "done"
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]
    assert not any(attempt.serializable for attempt in attempts)
    assert delays == sorted(delays)
    for delay, base in zip(delays, (0.010, 0.025, 0.060), strict=True):
        assert base <= delay <= 2 * base


def test_conflicts_without_end_are_reported() -> None:
    errors: list[Exception] = []

    def once(attempt: Attempt) -> None:
        errors.append(conflict())
        raise errors[-1]

    with pytest.raises(TransactionRetryExhaustedError, match="the work: each of 5 attempts") as caught:
        run_attempts(once, name="the work", sleep=lambda _: None)
    assert (caught.value.attempts, caught.value.__cause__) == (5, errors[-1])


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_other_errors_are_raised_at_once(error: BaseException) -> None:
    attempts: list[int] = []

    def once(attempt: Attempt) -> None:
        attempts.append(attempt.number)
        raise error

    with pytest.raises(type(error)) as caught:
        run_attempts(once, name="test", sleep=lambda _: None)
    assert caught.value is error
    assert attempts == [1]


def test_promotion_is_immediate_and_stays() -> None:
    attempts: list[Attempt] = []
    delays: list[float] = []

    def once(attempt: Attempt) -> str:
        attempts.append(attempt)
        if attempt.number == 1:
            raise RequireSerializableRetry
        if attempt.number == 2:
            raise conflict()
        return "done"

    run_attempts(once, name="test", sleep=delays.append)
    assert [attempt.serializable for attempt in attempts] == [False, True, True]
    assert delays[0] == 0
    assert delays[1] > 0


def test_promotion_is_asked_for_only_once() -> None:
    def once(attempt: Attempt) -> None:
        raise RequireSerializableRetry

    with pytest.raises(RequireSerializableRetry):
        run_attempts(once, name="test", serializable=True)


def isolation(session: Session) -> str:
    if session.get_bind().dialect.name == "sqlite":
        return "SERIALIZABLE"
    return str(session.scalar(text("SHOW transaction_isolation"))).upper()


def test_each_attempt_has_a_session_of_its_own(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    seen: list[Session] = []

    def work(session: Session) -> str:
        seen.append(session)
        session.add(Counter())
        session.flush()
        if len(seen) < 3:
            raise conflict()
        return "done"

    factory = sessionmaker(engine)
    assert run_with_transaction_retry(factory, work) == "done"
    assert len({id(session) for session in seen}) == 3
    with factory() as session:
        assert session.query(Counter).count() == 1


def test_promotion_sets_the_level_first(engine: Engine) -> None:
    levels: list[str] = []

    def work(session: Session) -> None:
        levels.append(isolation(session))
        if len(levels) == 1:
            raise RequireSerializableRetry

    run_with_transaction_retry(sessionmaker(engine), work)
    assert levels[-1] == "SERIALIZABLE"
    with Session(engine) as session:  # the pool gets its connection back as it was
        assert isolation(session) == levels[0]


def test_max_attempts(engine: Engine) -> None:
    def work(session: Session) -> None:
        raise conflict()

    with pytest.raises(TransactionRetryExhaustedError) as caught:
        run_with_transaction_retry(sessionmaker(engine), work, max_attempts=2)
    assert caught.value.attempts == 2


def test_a_synchronous_factory_wants_a_plain_function(engine: Engine) -> None:
    async def work(session: Session) -> None:
        raise AssertionError

    with pytest.raises(SessionFactoryError, match="work"):
        _ = run_with_transaction_retry(sessionmaker(engine), work)


async def test_async(async_engine: AsyncEngine) -> None:
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    factory = async_sessionmaker(async_engine, expire_on_commit=False)
    seen: list[AsyncSession] = []

    async def work(session: AsyncSession) -> int:
        seen.append(session)
        session.add(counter := Counter())
        await session.flush()
        if len(seen) == 1:
            raise conflict()
        if len(seen) == 2:
            raise RequireSerializableRetry
        assert await session.run_sync(isolation) == "SERIALIZABLE"
        return counter.id

    assert await run_with_transaction_retry(factory, work) > 0
    assert len({id(session) for session in seen}) == 3
    async with factory() as session:
        assert len((await session.scalars(Counter.__table__.select())).all()) == 1


async def test_cancellation_undoes_and_gives_the_connection_back(async_engine: AsyncEngine) -> None:
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    factory = async_sessionmaker(async_engine)
    waiting = asyncio.Event()

    async def work(session: AsyncSession) -> None:
        session.add(Counter())
        await session.flush()
        waiting.set()
        await asyncio.sleep(60)

    async def start() -> None:
        await run_with_transaction_retry(factory, work)

    task = asyncio.create_task(start())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with factory() as session:
        assert (await session.scalars(Counter.__table__.select())).all() == []


@pytest.mark.postgres
def test_real_serialization_failures(engine_for: EngineFactory) -> None:
    engine = engine_for("psycopg", isolation_level="REPEATABLE READ", pool_size=4)
    Base.metadata.create_all(engine)
    factory = sessionmaker(engine)
    with factory.begin() as session:
        session.add(Counter(id=1))

    def increment(session: Session) -> None:
        session.get_one(Counter, 1).n += 1

    def loop() -> None:
        for _ in range(10):
            run_with_transaction_retry(factory, increment, max_attempts=50)

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with factory() as session:
        assert session.get_one(Counter, 1).n == 40


@pytest.mark.postgres
async def test_real_lock_timeouts(async_engine_for: AsyncEngineFactory) -> None:
    engine = async_engine_for("asyncpg")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    factory = async_sessionmaker(engine)
    async with factory.begin() as session:
        session.add(Counter(id=1))
    attempts: list[Any] = []
    holder = factory()
    await holder.get(Counter, 1, with_for_update=True)

    async def work(session: AsyncSession) -> None:
        attempts.append(session)
        if len(attempts) == 3:
            await holder.close()
        await session.get(Counter, 1, with_for_update={"nowait": True})

    await run_with_transaction_retry(factory, work)
    assert len(attempts) == 3
