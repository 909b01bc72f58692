"""Revisions outlive their models: what fills a value stands in the revision, where SQL can say it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import MetaData

from tests.migrate.environment import Environment
from tests.migrate.shop import FILL, shop
from tests.migrate.test_values_are_filled_before_they_hold import run_script

#: what the application does in a revision of its own with values that are there
KEPT = """
def upgrade() -> None:
    op.execute("CREATE SCHEMA reports")  # where autogenerate does not look
    op.execute('CREATE TABLE reports.kept AS SELECT id, total, item_count FROM "order"')


def downgrade() -> None:
    op.execute("DROP SCHEMA reports CASCADE")
"""
PERCENT = {"price": (">", 0)}


def keep(environment: Environment) -> None:
    """Write the revision that reads values."""
    script = command.revision(environment.config(), message="keep")
    assert script is not None
    assert not isinstance(script, list)
    path = Path(script.path)
    path.write_text(path.read_text().partition("def upgrade")[0] + KEPT.strip() + "\n")
    environment.upgrade()


def history(environment: Environment) -> str:
    """Let values be added, read by a revision, and removed again; return the revision before all that."""
    environment.migrate(shop())
    ((start,),) = environment.rows("SELECT version_num FROM alembic_version")
    sources = environment.migrate(shop(sums=True, counts=True, where=PERCENT))
    assert "'Order.total': [(" in sources[-1]
    assert '\'UPDATE "order" SET total=' in sources[-1]
    if environment.is_postgresql:
        keep(environment)
    environment.use(shop())
    environment.revision()
    environment.upgrade()
    environment.downgrade(start)
    environment.run(*FILL)
    return str(start)


def test_values_that_are_not_declared_any_more_are_there_for_later_revisions(
    postgres_environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    environment = postgres_environment
    history(environment)
    with caplog.at_level(logging.WARNING):
        environment.upgrade()
    assert environment.rows("SELECT * FROM reports.kept ORDER BY id") == [(1, 15, 2), (2, 7, 1), (3, 0, 0)]
    assert "Order.label is not filled: the models do not declare it any more, and 3 rows of order" in caplog.text
    assert "Order.total is not filled" not in caplog.text
    environment.check()


def test_a_script_fills_them_too(postgres_environment: Environment) -> None:
    environment = postgres_environment
    start = history(environment)
    run_script(environment, environment.script(f"{start}:head"))
    assert environment.rows("SELECT * FROM reports.kept ORDER BY id") == [(1, 15, 2), (2, 7, 1), (3, 0, 0)]


def test_without_any_models(postgres_environment: Environment) -> None:
    environment = postgres_environment
    history(environment)
    environment.use(MetaData())
    environment.upgrade()
    assert environment.rows("SELECT * FROM reports.kept ORDER BY id") == [(1, 15, 2), (2, 7, 1), (3, 0, 0)]


def test_what_only_the_models_can_compute_is_told(
    sqlite_environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    """On SQLite sums are functions of our connections."""
    environment = sqlite_environment
    history(environment)
    with caplog.at_level(logging.WARNING):
        environment.upgrade()
    for name in ("Order.total", "Order.item_count", "Order.label"):
        assert f"{name} is not filled: the models do not declare it any more, and 3 rows of order" in caplog.text


def test_an_empty_database_is_quiet(environment: Environment, caplog: pytest.LogCaptureFixture) -> None:
    history(environment)
    environment.run("DELETE FROM item", 'DELETE FROM "order"', "DELETE FROM customer")
    with caplog.at_level(logging.WARNING):
        environment.upgrade()
    assert "is not filled" not in caplog.text


def test_models_that_are_ahead_find_the_values_in_time(postgres_environment: Environment) -> None:
    """A database that lags behind: the revision between reads values that the models compute only at the end."""
    environment = postgres_environment
    environment.migrate(shop())
    ((start,),) = environment.rows("SELECT version_num FROM alembic_version")
    environment.migrate(shop(sums=True, counts=True, where=PERCENT))
    keep(environment)
    environment.use(models := shop(sums=True, counts=True, where=PERCENT, noted=True))
    environment.revision()
    environment.upgrade()
    environment.downgrade(str(start))
    environment.run(*FILL)

    environment.upgrade()

    assert environment.rows("SELECT * FROM reports.kept ORDER BY id") == [(1, 15, 2), (2, 7, 1), (3, 0, 0)]
    assert environment.rows('SELECT label FROM "order" ORDER BY id') == [("1: 15",), ("2: 7",), ("3: 0",)]
    assert models


def test_tables_that_a_revision_creates_need_no_sql(environment: Environment) -> None:
    (source,) = environment.migrate(shop(sums=True))
    assert "inline=True" in source
    assert "sql=" not in source
