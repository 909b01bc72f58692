"""The fixtures themselves: what a test is given, what it must give back, what the head of a run says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.engines import AsyncEngineFactory, EngineFactory
from tests.support.statements import count_statements
from tests.support.urls import sqlite_file, with_database, with_driver

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("time", ["first", "second"])
def test_each_test_gets_an_empty_database(engine: Engine, time: str) -> None:
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == []
        connection.execute(text("CREATE TABLE left_behind (id INTEGER PRIMARY KEY)"))


@pytest.mark.parametrize("time", ["first", "second"])
async def test_each_async_test_gets_an_empty_database(async_engine: AsyncEngine, time: str) -> None:
    async with async_engine.begin() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []
        await connection.execute(text("CREATE TABLE left_behind (id INTEGER PRIMARY KEY)"))


def test_all_engines_of_a_test_reach_the_same_database(engine_for: EngineFactory) -> None:
    first, second = engine_for("pysqlite"), engine_for("pysqlite", echo=False)
    with first.begin() as connection:
        connection.execute(text("CREATE TABLE shared (id INTEGER PRIMARY KEY)"))
    with second.connect() as connection:
        assert inspect(connection).get_table_names() == ["shared"]


def test_a_connection_that_is_not_given_back_is_found(tmp_path: Path) -> None:
    factory = EngineFactory(tmp_path, lambda: "")
    connection = factory("pysqlite").connect()
    with pytest.raises(AssertionError, match="connections not given back: 1 of sqlite"):
        factory.close(check_leaks=True)
    connection.invalidate()  # its pool is gone
    connection.close()


async def test_an_async_connection_that_is_not_given_back_is_found(tmp_path: Path) -> None:
    factory = AsyncEngineFactory(tmp_path, lambda: "")
    connection = await factory("aiosqlite").connect()
    with pytest.raises(AssertionError, match="connections not given back: 1 of sqlite"):
        await factory.close(check_leaks=True)
    await connection.invalidate()
    await connection.close()


def test_the_two_worlds_do_not_mix(engine_for: EngineFactory) -> None:
    with pytest.raises(ValueError, match="'asyncpg' is none of pysqlite, psycopg"):
        engine_for("asyncpg")


def test_statements_are_counted_and_transactions_are_not(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counted (id INTEGER PRIMARY KEY)"))
    with count_statements(engine) as statements, engine.begin() as connection:
        connection.exec_driver_sql("BEGIN")
        connection.execute(text("INSERT INTO counted VALUES (:id)"), [{"id": 1}, {"id": 2}])
        with connection.begin_nested():
            connection.execute(text("DELETE FROM counted"))
    assert [statement.split()[0] for statement in statements] == ["INSERT", "SAVEPOINT", "DELETE", "RELEASE"]
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    assert len(statements) == 4, "counting ends with the block"


def test_urls(tmp_path: Path) -> None:
    assert with_driver("postgresql://u:secret@h:1/d", "asyncpg") == "postgresql+asyncpg://u:secret@h:1/d"
    assert with_driver("postgresql+psycopg://h/d?sslmode=require", None) == "postgresql://h/d?sslmode=require"
    assert with_driver(sqlite_file(tmp_path), "aiosqlite") == f"sqlite+aiosqlite:///{tmp_path}/test.sqlite3"
    assert with_database("postgresql://u:secret@h/a", "b") == "postgresql://u:secret@h/b"


# --- whole runs, in processes of their own ---------------------------------------------------------------------------


def test_the_head_of_a_run_names_server_drivers_and_libraries() -> None:
    run = _pytest("-k", "test_each_test_gets_an_empty_database")
    assert run.returncode == 0, run.stdout
    names = ("Python", "SQLite", "SQLAlchemy", "alembic", "asyncpg", "psycopg", "aiosqlite", "greenlet")
    assert all(re.search(rf"\b{name} \d+\.\d+", run.stdout) for name in names), run.stdout
    assert re.search(r"^PostgreSQL \d+\.\d+, .+; database interaqt_sa_test_\d+_[0-9a-f]+$", run.stdout, re.MULTILINE)


def test_a_run_without_tests_of_postgresql_asks_for_no_server() -> None:
    run = _pytest("-m", "not postgres", "-k", "empty_database", INTERAQT_SA_POSTGRES_URL=_NOWHERE)
    assert run.returncode == 0, run.stdout
    assert "PostgreSQL: not needed" in run.stdout


def test_tests_of_postgresql_fail_without_a_server() -> None:
    run = _pytest("-k", "test_each_test_gets_an_empty_database", INTERAQT_SA_POSTGRES_URL=_NOWHERE)
    assert run.returncode == 1, run.stdout
    assert "INTERAQT_SA_POSTGRES_URL names a server that does not answer" in run.stdout
    assert re.search(r"2 passed, .*2 errors in", run.stdout), run.stdout


_NOWHERE = "postgresql://postgres@127.0.0.1:1/postgres"


def _pytest(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    if environment:
        inherited.pop("INTERAQT_SA_NO_LOCAL_POSTGRES", None)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__).relative_to(ROOT)), *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
    )
