"""Fixtures that every test may use: engines on SQLite and PostgreSQL, each on an empty database.

========================  ==========================================================================================
`engine`                  synchronous; the test runs on pysqlite and on psycopg
`async_engine`            asynchronous; the test runs on aiosqlite and on asyncpg
`engine_for(driver)`      a factory for tests that choose the driver or the pool; takes `create_engine`'s arguments
`async_engine_for(...)`   its asynchronous twin
`postgres_url`            URL of an empty PostgreSQL database, without a driver (see `tests.support.urls.with_driver`)
`sqlite_url`              URL of an SQLite file that does not exist yet, without a driver
`torture`                 how hard to try in concurrency tests
========================  ==========================================================================================

Tests that use PostgreSQL carry the marker `postgres` by themselves when a fixture or a parameter shows it. Without a
server they fail.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.databases import LazyDatabase
from tests.support.engines import AsyncEngineFactory, EngineFactory
from tests.support.torture import Torture, load_hypothesis_profile, torture_from_environment
from tests.support.urls import ASYNC_DRIVERS, POSTGRES_DRIVERS, SYNC_DRIVERS, sqlite_file

_DATABASE = pytest.StashKey[LazyDatabase]()
_PASSED = pytest.StashKey[bool]()
_WORKERS = pytest.StashKey[list[str]]()
_SHOWN = ("SQLAlchemy", "alembic", "asyncpg", "psycopg", "aiosqlite", "greenlet")


# --- fixtures --------------------------------------------------------------------------------------------------------


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of an SQLite file for this test, without a driver."""
    return sqlite_file(tmp_path)


@pytest.fixture
def postgres_url(_postgres_url: Callable[[], str]) -> str:
    """Return the URL of an empty PostgreSQL database, without a driver."""
    return _postgres_url()


@pytest.fixture
def engine_for(
    request: pytest.FixtureRequest, tmp_path: Path, _postgres_url: Callable[[], str]
) -> Iterator[EngineFactory]:
    """Return a factory of synchronous engines by driver; all of a test's engines reach the same database."""
    factory = EngineFactory(tmp_path, _postgres_url)
    yield factory
    factory.close(check_leaks=_passed(request))


@pytest.fixture
async def async_engine_for(
    request: pytest.FixtureRequest, tmp_path: Path, _postgres_url: Callable[[], str]
) -> AsyncIterator[AsyncEngineFactory]:
    """Return a factory of asynchronous engines by driver; all of a test's engines reach the same database."""
    factory = AsyncEngineFactory(tmp_path, _postgres_url)
    yield factory
    await factory.close(check_leaks=_passed(request))


@pytest.fixture(params=SYNC_DRIVERS)
def engine(request: pytest.FixtureRequest, engine_for: EngineFactory) -> Engine:
    """Return a synchronous engine on an empty database, once for each synchronous driver."""
    return engine_for(request.param)


@pytest.fixture(params=ASYNC_DRIVERS)
async def async_engine(request: pytest.FixtureRequest, async_engine_for: AsyncEngineFactory) -> AsyncEngine:
    """Return an asynchronous engine on an empty database, once for each asynchronous driver."""
    return async_engine_for(request.param)


@pytest.fixture(scope="session")
def torture() -> Torture:
    """Return the size of a concurrency test."""
    return torture_from_environment()


@pytest.fixture
def _postgres_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Return what gives the PostgreSQL URL: the first call in a test finds the server and cleans the database."""
    urls: list[str] = []

    def url() -> str:
        if not urls:
            if not request.node.get_closest_marker("postgres"):
                pytest.fail("uses PostgreSQL where nothing shows it: ask for `postgres_url` or mark it `postgres`")
            database, failure = request.config.stash[_DATABASE].attempt()
            if database is None:
                pytest.fail(failure, pytrace=False)
            database.clean()
            urls.append(database.url)
        return urls[0]

    return url


def _passed(request: pytest.FixtureRequest) -> bool:
    """Tell whether the test itself passed: after a failure, connections held by its traceback are not a leak."""
    return request.node.stash.get(_PASSED, False)


# --- hooks -----------------------------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_DATABASE] = LazyDatabase()
    load_hypothesis_profile()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_DATABASE].close()


def pytest_report_header() -> list[str]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SHOWN)
    return [f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {versions}"]


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Name the PostgreSQL server, once it is known that a selected test needs one."""
    if config.option.collectonly:
        return []
    if not any(item.get_closest_marker("postgres") for item in items):
        return ["PostgreSQL: not needed"]
    database, failure = config.stash[_DATABASE].attempt()
    if database is None:
        return failure.splitlines()
    found = f"PostgreSQL {database.server.version}, {database.server.found}; database {database.name}"
    if hasattr(config, "workeroutput"):  # one of several processes, which print nothing themselves
        config.workeroutput["postgresql"] = found
    return [found]


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any, error: object) -> None:
    """Collect what a worker process has used."""
    found = getattr(node, "workeroutput", {}).get("postgresql")
    node.config.stash.setdefault(_WORKERS, []).append(found or "PostgreSQL: none")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the servers of the worker processes, which is known at their end."""
    for line in sorted(set(config.stash.get(_WORKERS, []))):
        terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _uses_postgres(item):
            item.add_marker("postgres")


def _uses_postgres(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return "postgres_url" in item.fixturenames or any(
        isinstance(value, str) and value in POSTGRES_DRIVERS for value in parameters
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if call.when == "call":
        item.stash[_PASSED] = report.passed
    return report
