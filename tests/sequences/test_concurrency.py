"""Many writers number rows of the same scopes at once, and fail at random: no gap, no duplicate. R-S16."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.kept import Kept
from tests.engine.test_torture_threads import run_workers
from tests.engine.workload import Conflicts
from tests.sequences.invoices import Customer, Invoice, counters, kept
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

pytestmark = pytest.mark.concurrency

_WRITERS = 16


class BrokenError(Exception):
    """Raised by a transaction on purpose."""


def _transaction(kept: Kept, seed: str, scopes: int) -> Callable[[Session], None]:
    """Return a transaction that numbers rows on one of all routes, and fails sometimes."""

    def work(session: Session) -> None:
        random = Random(seed)
        customers = [random.randint(1, scopes) for _ in range(random.randint(1, 3))]
        match random.randrange(4):
            case 0:
                session.add_all([Invoice(customer_id=n) for n in customers])
                session.flush()
            case 1:
                session.execute(insert(Invoice), [{"customer_id": n} for n in customers])
            case 2:
                kept.system.storage.with_session(session).create("Invoice", {"customer": {"id": customers[0]}})
            case _:
                customer = session.get_one(Customer, customers[0])
                with session.begin_nested() as savepoint:
                    customer.invoices.append(Invoice())
                    session.flush()
                    savepoint.rollback()
                session.add(Invoice(customer_id=customers[0]))
                session.flush()
        if random.random() < 0.3:
            raise BrokenError

    return work


def _require_gapless(kept: Kept) -> int:
    kept.verify()
    with kept.begin() as session:
        found: dict[Any, list[int]] = {}
        for customer, number in session.execute(select(Invoice.customer_id, Invoice.number)):
            found.setdefault(customer, []).append(number)
        for customer, listed in found.items():
            assert sorted(listed) == [*range(1, len(listed) + 1)], customer
        finals = sorted(session.scalars(select(Invoice.final)))
        assert finals == [1000 + 10 * n for n in range(1, len(finals) + 1)]
        known = counters(session)
        assert {f"[{n}]": len(listed) for n, listed in found.items()} == {
            scope: last for (name, scope), last in known.items() if name == "invoice" and last
        }
        return len(finals)


@behaviour("R-S16")
@pytest.mark.parametrize("scopes", [1, 4])
def test_writers_that_fail(postgres_invoices: Kept, torture: Torture, scopes: int) -> None:
    database = postgres_invoices
    with database.begin() as session:
        session.add_all([Customer(), Customer()])
    conflicts = Conflicts(database.engine)
    rounds = max(torture.rounds // 2, 10)
    done = 0
    lock = threading.Lock()

    def work(number: int) -> None:
        nonlocal done
        for turn in range(rounds):
            try:
                iq.run_with_transaction_retry(
                    database.sessions, _transaction(database, f"{scopes}.{number}.{turn}", scopes), max_attempts=100
                )
            except BrokenError:
                continue
            with lock:
                done += 1

    run_workers(_WRITERS, work)
    assert done
    assert _require_gapless(database) >= done
    assert set(conflicts) <= {"40P01"}, conflicts


@behaviour("R-S16")
def test_single_flushes_never_deadlock(postgres_invoices: Kept, torture: Torture) -> None:
    """A flush that numbers rows, and updates and counts at their customers too, takes its locks in one order."""
    database = postgres_invoices
    conflicts = Conflicts(database.engine)

    def work(number: int) -> None:
        random = Random(number)
        for turn in range(max(torture.rounds // 2, 10)):
            with database.sessions(expire_on_commit=False) as session, session.begin():
                first, second = session.get_one(Customer, 1), session.get_one(Customer, 2)
                for customer in random.sample([first, second], random.randint(1, 2)):
                    customer.name = f"{number}.{turn}"
                session.add_all([Invoice(customer_id=random.randint(1, 2)) for _ in range(random.randint(1, 3))])

    run_workers(_WRITERS, work)
    _require_gapless(database)
    assert not conflicts, (conflicts, conflicts.details)


@behaviour("R-S16")
def test_connections_that_break(postgres_invoices: Kept, torture: Torture) -> None:
    database, stop = postgres_invoices, threading.Event()
    killed = 0

    def kill() -> None:
        nonlocal killed
        victims = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND xact_start IS NOT NULL AND query ILIKE '%invoice%' LIMIT 1"
        )
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            while not stop.wait(0.05):
                killed += len(connection.execute(victims).all())

    def work(number: int) -> None:
        for turn in range(max(torture.rounds // 2, 10)):
            try:
                iq.run_with_transaction_retry(
                    database.sessions, _transaction(database, f"k.{number}.{turn}", 2), max_attempts=100
                )
            except (BrokenError, DBAPIError, iq.TransactionOutcomeUnknownError):
                continue

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run_workers(_WRITERS, work)
    finally:
        stop.set()
        killer.join()
    assert killed
    _require_gapless(database)


@behaviour("R-S16")
def test_writers_on_sqlite(engine_for: EngineFactory, torture: Torture) -> None:
    engine: Engine = engine_for("pysqlite")
    database = kept(engine)

    def work(number: int) -> None:
        for turn in range(5):
            try:
                iq.run_with_transaction_retry(
                    database.sessions, _transaction(database, f"s.{number}.{turn}", 2), max_attempts=100
                )
            except BrokenError:
                continue

    run_workers(4, work)
    assert _require_gapless(database)
