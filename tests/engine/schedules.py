"""Two sessions in a chosen order: one waits for the other where the test says so."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from sqlalchemy import Engine, text

import interaqt_sa as iq

R = TypeVar("R")

#: longer than any lock timeout of the tests
PATIENCE = 30.0

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
)


@contextmanager
def in_background(work: Callable[[], R]) -> Iterator[Future[R]]:
    """Run `work` in a thread; the block's end waits for it and raises what it raised."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        yield future
        future.result(PATIENCE)


def wait_until_blocked(engine: Engine, sessions: int = 1) -> None:
    """Wait until as many sessions of this database wait for a lock of another one."""
    deadline = time.monotonic() + PATIENCE
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.scalar(_WAITING) < sessions:
            assert time.monotonic() < deadline, "nobody came to wait for a lock"
            time.sleep(0.002)


def assert_true(system: iq.System) -> None:
    """Fail with every stored value that is not what its computation gives."""
    report = system.check()
    assert report.checked
    assert report.ok, report.differences


def engine_of(system: iq.System) -> Engine:
    """Return the engine that the system was made with."""
    engine: Engine = system.session_factory.kw["bind"]
    return engine
