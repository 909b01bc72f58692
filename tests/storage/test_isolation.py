"""A transaction inside another one never runs at a weaker level than it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from interaqt_sa import RequireSerializableRetry, run_with_transaction_retry
from interaqt_sa.storage import AsyncStorage, Storage

STRONGER: list[Any] = ["REPEATABLE READ", "SERIALIZABLE"]


def level_of(session: Session) -> str:
    return str(session.connection().get_isolation_level())


def level(storage: Storage) -> str:
    return storage.read(level_of)


async def async_level(storage: AsyncStorage) -> str:
    return await storage.read(lambda inner: inner.read(level_of))


@pytest.mark.parametrize("isolation", STRONGER)
def test_the_outer_transaction_begins_again(storage: Storage, isolation: Any) -> None:
    attempts: list[str] = []

    def work(outer: Storage) -> str:
        attempts.append(level(outer))
        outer.create("Team", {"name": "x"})
        return outer.run_in_transaction(level, isolation=isolation)

    assert storage.run_in_transaction(work) == "SERIALIZABLE"
    is_postgresql = storage.read(lambda session: session.get_bind().dialect.name) == "postgresql"
    assert attempts == (["READ COMMITTED", "SERIALIZABLE"] if is_postgresql else ["SERIALIZABLE"])
    assert len(storage.find("Team")) == 1


def test_a_level_between_them(storage: Storage) -> None:
    """What began at one level begins again at the highest."""
    attempts: list[str] = []

    def work(outer: Storage) -> str:
        attempts.append(level(outer))
        assert outer.run_in_transaction(level, isolation="REPEATABLE READ") == attempts[-1]
        return outer.run_in_transaction(level, isolation="SERIALIZABLE")

    assert storage.run_in_transaction(work, isolation="REPEATABLE READ") == "SERIALIZABLE"
    assert attempts[-1] == "SERIALIZABLE"
    assert len(attempts) <= 2


@pytest.mark.parametrize("isolation", STRONGER)
def test_a_stronger_one_will_do(storage: Storage, isolation: Any) -> None:
    def work(outer: Storage) -> tuple[str, str]:
        return level(outer), outer.run_in_transaction(level, isolation=isolation)

    assert storage.run_in_transaction(work, isolation="SERIALIZABLE") == ("SERIALIZABLE", "SERIALIZABLE")


@pytest.mark.parametrize("isolation", STRONGER)
def test_a_session_of_the_application(storage: Storage, isolation: Any) -> None:
    factory: Any = storage._session_factory
    with factory() as session:
        bound = storage.with_session(session)
        # nothing has begun yet
        got = bound.run_in_transaction(level, isolation=isolation)
        assert got == (isolation if session.get_bind().dialect.name == "postgresql" else "SERIALIZABLE")
    with factory.begin() as session:
        session.connection()
        bound = storage.with_session(session)
        if session.get_bind().dialect.name == "sqlite":
            assert bound.run_in_transaction(level, isolation=isolation) == "SERIALIZABLE"
            return
        with pytest.raises(RequireSerializableRetry, match=f"^level needs {isolation}, .* that is READ COMMITTED"):
            bound.run_in_transaction(level, isolation=isolation)
    run = run_with_transaction_retry
    assert (
        run(factory, lambda s: storage.with_session(s).run_in_transaction(level, isolation=isolation)) == "SERIALIZABLE"
    )


@pytest.mark.parametrize("isolation", STRONGER)
async def test_the_asynchronous_twin(async_storage: AsyncStorage, isolation: Any) -> None:
    async def work(outer: AsyncStorage) -> str:
        await outer.create("Team", {"name": "x"})
        return await outer.run_in_transaction(async_level, isolation=isolation)

    assert await async_storage.run_in_transaction(work) == "SERIALIZABLE"
    session: AsyncSession
    async with async_storage._session_factory() as session:
        bound = async_storage.with_session(session)
        await bound.find("Team")
        if session.get_bind().dialect.name == "postgresql":
            with pytest.raises(RequireSerializableRetry):
                await bound.run_in_transaction(async_level, isolation=isolation)
