"""Many connections write the same few rows: nothing drifts, and where the lock order can help nobody deadlocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.engine.schedules import assert_true, engine_of
from tests.engine.workload import CROSSED, SINGLE, Conflicts, RolledBackError, fill, long_rounds, several, transaction
from tests.support.torture import Torture

pytestmark = [
    pytest.mark.concurrency,
    # two transactions that delete one row: the second finds nothing, which is not news here
    pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning"),
]


def run_workers(workers: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` in as many threads, which begin together; raise what the first one raised."""
    barrier = threading.Barrier(workers)

    def run(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(run, number) for number in range(workers)]:
            future.result()


def test_single_flushes_never_deadlock(postgres_shop: iq.System, torture: Torture) -> None:
    with postgres_shop.session_factory.begin() as session:
        fill(session)
    conflicts = Conflicts(engine_of(postgres_shop))

    def work(number: int) -> None:
        for turn in range(torture.rounds):
            iq.run_with_transaction_retry(postgres_shop.session_factory, transaction(SINGLE, f"{number}.{turn}"))

    run_workers(torture.workers, work)
    assert_true(postgres_shop)
    assert not conflicts, (conflicts, conflicts.details)


def test_long_transactions_are_retried_and_exact(postgres_shop: iq.System, torture: Torture) -> None:
    with postgres_shop.session_factory.begin() as session:
        fill(session)
    conflicts = Conflicts(engine_of(postgres_shop))

    def work(number: int) -> None:
        for turn in range(long_rounds(torture)):
            attempt = transaction([several], f"{number}.{turn}")
            try:
                iq.run_with_transaction_retry(postgres_shop.session_factory, attempt, max_attempts=1000)
            except RolledBackError:
                continue

    run_workers(torture.workers, work)
    assert_true(postgres_shop)
    assert set(conflicts) <= {"40P01", *CROSSED}, conflicts


@pytest.mark.slow
def test_connections_that_break_and_statements_that_time_out_leave_nothing(
    postgres_shop: iq.System, torture: Torture
) -> None:
    with postgres_shop.session_factory.begin() as session:
        fill(session)
    engine = engine_of(postgres_shop)
    stop = threading.Event()
    killed = timed_out = 0

    def kill() -> None:
        """End a backend that is in a transaction, again and again."""
        nonlocal killed
        victims = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND xact_start IS NOT NULL AND query ILIKE '%item%' LIMIT 1"
        )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.wait(0.05):
                killed += len(connection.execute(victims).all())

    def impatient(attempt: Callable[[Session], None], random: Random) -> Callable[[Session], None]:
        def work(session: Session) -> None:
            if random.random() < 0.2:
                session.execute(text(f"SET LOCAL statement_timeout = {random.randint(5, 60)}"))
            attempt(session)

        return work

    def work(number: int) -> None:
        nonlocal timed_out
        for turn in range(long_rounds(torture)):
            attempt = impatient(transaction([several], f"{number}.{turn}"), Random(turn))
            try:
                iq.run_with_transaction_retry(postgres_shop.session_factory, attempt, max_attempts=1000)
            except (RolledBackError, iq.TransactionOutcomeUnknownError):
                continue
            except DBAPIError:
                timed_out += 1

    with ThreadPoolExecutor(1) as killer:
        future = killer.submit(kill)
        try:
            run_workers(torture.workers, work)
        finally:
            stop.set()
        future.result()
    assert killed
    assert timed_out
    assert_true(postgres_shop)
