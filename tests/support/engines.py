"""Engines for tests, and the check that a test gives back every connection."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.support.urls import ASYNC_DRIVERS, POSTGRES_DRIVERS, SYNC_DRIVERS, sqlite_file, with_driver


class EngineFactory:
    """Create synchronous engines by driver, all on one database: `engines("psycopg", pool_size=16)`.

    Keyword arguments are those of `create_engine`. The engines are disposed after the test.
    """

    def __init__(self, directory: Path, postgres_url: Callable[[], str]) -> None:
        self._directory = directory
        self._postgres_url = postgres_url
        self._created: list[Engine] = []

    def __call__(self, driver: str, **kwargs: Any) -> Engine:
        """Return a new engine, without any settings but those given."""
        _check_driver(driver, SYNC_DRIVERS)
        engine = create_engine(_url(driver, self._directory, self._postgres_url), **kwargs)
        self._created.append(engine)
        return engine

    def close(self, *, check_leaks: bool) -> None:
        """Dispose all engines; with `check_leaks` fail when a connection is still checked out of one."""
        leaks = [leak for engine in self._created if (leak := checked_out(engine))]
        for engine in self._created:
            engine.dispose()
        assert not (check_leaks and leaks), "connections not given back: " + ", ".join(leaks)


class AsyncEngineFactory:
    """The same for asynchronous engines: `async_engines("asyncpg")`."""

    def __init__(self, directory: Path, postgres_url: Callable[[], str]) -> None:
        self._directory = directory
        self._postgres_url = postgres_url
        self._created: list[AsyncEngine] = []

    def __call__(self, driver: str, **kwargs: Any) -> AsyncEngine:
        """Return a new engine, without any settings but those given."""
        _check_driver(driver, ASYNC_DRIVERS)
        engine = create_async_engine(_url(driver, self._directory, self._postgres_url), **kwargs)
        self._created.append(engine)
        return engine

    async def close(self, *, check_leaks: bool) -> None:
        """Dispose all engines; with `check_leaks` fail when a connection is still checked out of one."""
        leaks = [leak for engine in self._created if (leak := checked_out(engine.sync_engine))]
        for engine in self._created:
            await engine.dispose()
        assert not (check_leaks and leaks), "connections not given back: " + ", ".join(leaks)


def checked_out(engine: Engine) -> str:
    """Say how many connections of `engine` are in use; empty when none is, or when its pool does not count."""
    count = getattr(engine.pool, "checkedout", int)()
    return f"{count} of {engine.url.render_as_string()}" if count else ""


def _url(driver: str, directory: Path, postgres_url: Callable[[], str]) -> str:
    return with_driver(postgres_url() if driver in POSTGRES_DRIVERS else sqlite_file(directory), driver)


def _check_driver(driver: str, known: tuple[str, ...]) -> None:
    if driver not in known:
        raise ValueError(f"{driver!r} is none of {', '.join(known)}")
