"""URLs of databases, and the drivers that reach them."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url

SYNC_DRIVERS = ("pysqlite", "psycopg")
ASYNC_DRIVERS = ("aiosqlite", "asyncpg")
POSTGRES_DRIVERS = frozenset({"psycopg", "asyncpg"})


def with_driver(url: str, driver: str | None) -> str:
    """Return `url` with `driver` in place of whatever it names; None leaves the choice to SQLAlchemy."""
    parsed = make_url(url)
    backend = parsed.get_backend_name()
    drivername = f"{backend}+{driver}" if driver else backend
    return parsed.set(drivername=drivername).render_as_string(hide_password=False)


def with_database(url: str, database: str) -> str:
    """Return `url` pointing at another database of the same server."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def sqlite_file(directory: Path, name: str = "test") -> str:
    """Return the URL of an SQLite file in `directory`, without a driver."""
    return f"sqlite:///{directory / name}.sqlite3"


def libpq(url: str) -> str:
    """Return `url` as psycopg itself takes it, without SQLAlchemy's driver part."""
    return with_driver(url, None)
