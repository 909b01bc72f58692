"""Whatever the tables refer to and compute, nothing drifts, and the lock order holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from interaqt_sa.engine.locking import lock_pass as locks
from interaqt_sa.engine.locking.lock_graph import may_be_late
from tests.engine.random_schemas import RandomSchema, RandomWrites, Write, random_schema
from tests.engine.workload import Conflicts
from tests.support.engines import EngineFactory
from tests.support.torture import torture_from_environment

FULL = torture_from_environment().full
WORKERS, ROUNDS = 10, 25


@pytest.mark.parametrize("cascades", [False, True])
@pytest.mark.parametrize("seed", range(300 if FULL else 6))
@pytest.mark.parametrize("driver", ["pysqlite", pytest.param("psycopg", marks=pytest.mark.postgres)])
def test_one_write_after_another(engine_for: EngineFactory, driver: str, seed: int, cascades: bool) -> None:
    """After each transaction every value equals its recompute."""
    schema = random_schema(seed, cascades=cascades, all_kinds=seed % 2 == 1)
    engine = engine_for(driver)
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=schema.base)
    schema.base.metadata.create_all(engine)
    with session_factory.begin() as session:
        schema.fill(session, Random(seed))
    writes = RandomWrites(schema)
    for turn in range(40):
        write = Random(f"{seed}.{turn}").choice(writes.all)
        with suppress(IntegrityError), session_factory.begin() as session:  # what it refers to may be deleted
            write(session, Random(f"{turn}"))
        assert not system.check().differences, (turn, write.__name__, schema.text)


def _transaction(write: Write, seed: str) -> Callable[[Session], None]:
    def work(session: Session) -> None:
        try:
            write(session, Random(seed))
            session.flush()
        except (StaleDataError, IntegrityError):
            session.rollback()

    return work


@pytest.mark.postgres
@pytest.mark.concurrency
# two transactions that delete one row: the second finds nothing, which is not news here
@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
# values drifted with the first four; each has had deadlocks in every second transaction and more
@pytest.mark.parametrize("seed", range(300) if FULL else [0, 6, 10, 18, 25])
def test_many_writers(engine_for: EngineFactory, seed: int) -> None:
    """Nothing drifts. Who must look twice for the rows to lock may lose, but hardly ever."""
    conflicts = _fight(engine_for, random_schema(seed))
    assert sum(conflicts.values()) <= WORKERS * ROUNDS // 25, (conflicts, conflicts.details[:3], seed)


@pytest.mark.postgres
@pytest.mark.concurrency
@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize("seed", range(300) if FULL else [13, 22])
def test_many_writers_that_delete_all_kinds_of_rows(engine_for: EngineFactory, seed: int) -> None:
    """Nothing drifts; a new row may meet the delete of what it refers to the other way round."""
    _fight(engine_for, random_schema(seed, cascades=True))


@pytest.mark.postgres
@pytest.mark.concurrency
@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
@pytest.mark.parametrize("seed", range(300) if FULL else [1, 2])
def test_many_writers_of_extremes_and_weighted_sums(engine_for: EngineFactory, seed: int) -> None:
    _fight(engine_for, random_schema(seed, cascades=seed % 2 == 0, all_kinds=True))


@pytest.mark.postgres
@pytest.mark.concurrency
@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
def test_who_gives_up_the_order_is_exact_all_the_same(
    engine_for: EngineFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last attempt of a lock pass takes rows in any order: others may win, but nothing drifts."""
    out_of_order: list[bool] = []

    def noted(*args: Any) -> bool:
        out_of_order.append(may_be_late(*args))
        return out_of_order[-1]

    monkeypatch.setattr(locks, "_MAX_ATTEMPTS", 1)
    monkeypatch.setattr(locks, "may_be_late", noted)
    _fight(engine_for, random_schema(6))
    assert any(out_of_order)


def _fight(engine_for: EngineFactory, schema: RandomSchema) -> Conflicts:
    engine = engine_for("psycopg", pool_size=WORKERS + 2, connect_args={"options": "-c deadlock_timeout=30ms"})
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=schema.base)
    schema.base.metadata.create_all(engine)
    with session_factory.begin() as session:
        schema.fill(session, Random(0))
    conflicts, writes = Conflicts(engine), RandomWrites(schema)
    barrier = threading.Barrier(WORKERS)

    def work(number: int) -> None:
        barrier.wait()
        for turn in range(ROUNDS):
            name = f"{number}.{turn}"
            attempt = _transaction(Random(name).choice(writes.all), name)
            iq.run_with_transaction_retry(session_factory, attempt, max_attempts=1000)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))
    assert system.check().ok, schema.text
    return conflicts
