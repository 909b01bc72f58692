"""`kill -9` anywhere in an upgrade; the next one goes on, and ends with values that are true."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

import interaqt_sa as iq
from tests.migrate.environment import Environment
from tests.migrate.live import new_models, old_models
from tests.migrate.test_live_versions import fill

STEP = 3


@pytest.fixture
def environment(postgres_environment: Environment) -> Environment:
    """Return one whose upgrade adds, changes and drops values, requires a column, and builds an index."""
    environment = postgres_environment
    environment.migrate(old_models.Base)
    fill(environment, 5, 30, 100)
    environment.use(new_models.Base)
    environment.revision()
    return environment


@contextmanager
def killed_upgrades(environment: Environment) -> Generator[Callable[[str], str]]:
    """Give a function that upgrades in a process of its own, and kills that at a statement."""
    settings = environment.settings() | {"models": "tests.migrate.live.new_models:Base"}
    program = [sys.executable, "-m", "tests.migrate.live.killed_upgrade", json.dumps(settings), '["batch=10"]']
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        sent, told = process.stdin, process.stdout
        assert sent is not None
        assert told is not None

        def run(place: str) -> str:
            sent.write(f"{place}\n")
            sent.flush()
            return told.readline().strip()

        yield run
        sent.close()


def check(environment: Environment) -> None:
    environment.check()
    report = iq.System(environment.engine, base=new_models.Base, configure_sqlite=False).check()
    assert report.ok, report
    assert environment.rows("SELECT indexrelid FROM pg_index WHERE NOT indisvalid") == []
    assert environment.rows("SELECT conname FROM pg_constraint WHERE NOT convalidated") == []


@pytest.mark.parametrize("first", [1, 2])
def test_killed_anywhere(environment: Environment, first: int) -> None:
    """Each run dies a few statements later than the one before, and goes on where that one was."""
    died: list[str] = []
    with killed_upgrades(environment) as upgrade:
        while not died or died[-1] != "done":
            died.append(upgrade(str(first + len(died) * STEP)))
            assert len(died) < 100
    assert any("ALTER TABLE" in statement for statement in died)  # within DDL
    assert any(name in statement for statement in died for name in ("item", "host", "region"))  # within a batch
    assert len(died) > 10
    check(environment)


def test_killed_at_each_step(environment: Environment) -> None:
    """One after the other, each run goes on where the one before was killed."""
    with killed_upgrades(environment) as upgrade:
        for place in (
            "ADD COLUMN",
            "UPDATE alembic_version",  # the columns are there, and not noted
            "UPDATE interaqt_backfill",  # at the beginning of a batch
            "UPDATE host",  # in the midst of one
            "VALIDATE CONSTRAINT",
            "SET NOT NULL",
            "CREATE INDEX CONCURRENTLY",
            "DROP COLUMN",
        ):
            assert place in upgrade(f"before {place}")
    environment.upgrade("head", "batch=10")
    check(environment)


def test_killed_while_an_index_is_built(environment: Environment) -> None:
    """What is left of it is dropped, and it is built again."""
    holder = environment.engine.connect()
    environment.upgrade("+2", "batch=10")
    holder.exec_driver_sql("UPDATE host SET name = 'held' WHERE id = 2")  # for which it waits
    with killed_upgrades(environment) as upgrade:
        assert upgrade("CREATE INDEX CONCURRENTLY").startswith("CREATE INDEX CONCURRENTLY")
    # the server does not notice the end of its client before it has something to say
    environment.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE 'CREATE INDEX CONCURRENTLY%%' AND datname = current_database()"
    )
    while environment.rows("SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database()"):
        time.sleep(0.01)
    assert environment.rows("SELECT indexrelid FROM pg_index WHERE NOT indisvalid") != []
    holder.rollback()
    holder.close()
    environment.upgrade("head", "batch=10")
    check(environment)
