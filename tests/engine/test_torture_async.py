"""The same on asyncpg, under one event loop."""

from __future__ import annotations

import asyncio

import pytest

import interaqt_sa as iq
from tests.engine.shop import Base
from tests.engine.workload import CROSSED, SINGLE, Conflicts, RolledBackError, fill, long_rounds, several, transaction
from tests.support.engines import AsyncEngineFactory
from tests.support.torture import Torture

pytestmark = [
    pytest.mark.concurrency,
    pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning"),
]


@pytest.mark.postgres
@pytest.mark.parametrize("long", [False, True], ids=["single flushes", "long transactions"])
async def test_tasks_of_one_event_loop(async_engine_for: AsyncEngineFactory, torture: Torture, long: bool) -> None:
    settings = {"lock_timeout": "10s", "deadlock_timeout": "50ms"}
    engine = async_engine_for("asyncpg", pool_size=torture.workers, connect_args={"server_settings": settings})
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    system = iq.AsyncSystem(engine, base=Base)
    async with system.session_factory.begin() as session:
        await session.run_sync(fill)
    conflicts = Conflicts(engine.sync_engine)
    writes = [several] if long else SINGLE

    async def work(number: int) -> None:
        for turn in range(long_rounds(torture) if long else torture.rounds):
            attempt = transaction(writes, f"{number}.{turn}")
            try:
                await iq.run_with_transaction_retry(
                    system.session_factory,
                    lambda session, attempt=attempt: session.run_sync(attempt),
                    max_attempts=1000,
                )
            except RolledBackError:
                continue

    async with asyncio.TaskGroup() as group:
        for number in range(torture.workers):
            group.create_task(work(number))
    report = await system.check()
    assert report.ok, report.differences
    assert set(conflicts) <= ({"40P01", *CROSSED} if long else set()), (conflicts, conflicts.details)
