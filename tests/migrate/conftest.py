from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.migrate.environment import Environment
from tests.support.urls import ASYNC_DRIVERS, POSTGRES_DRIVERS, SYNC_DRIVERS, sqlite_file, with_driver


@pytest.fixture(params=SYNC_DRIVERS)
def environment(environment_for: Callable[[str], Environment], request: pytest.FixtureRequest) -> Environment:
    """Return an Alembic environment on an empty database, once for each synchronous driver."""
    return environment_for(request.param)


@pytest.fixture(params=[*SYNC_DRIVERS, *ASYNC_DRIVERS])
def any_environment(environment_for: Callable[[str], Environment], request: pytest.FixtureRequest) -> Environment:
    """Return the same for every driver."""
    return environment_for(request.param)


@pytest.fixture
def postgres_environment(environment_for: Callable[[str], Environment], postgres_url: str) -> Environment:
    """Return one on PostgreSQL."""
    return environment_for("psycopg")


@pytest.fixture
def sqlite_environment(environment_for: Callable[[str], Environment]) -> Environment:
    """Return one on SQLite."""
    return environment_for("pysqlite")


@pytest.fixture
def environment_for(
    tmp_path: Path, _postgres_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Environment]:
    def make(driver: str) -> Environment:
        url = _postgres_url() if driver in POSTGRES_DRIVERS else sqlite_file(tmp_path)
        return Environment(tmp_path, with_driver(url, driver), monkeypatch)

    return make
