from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.declarative.kept import Kept
from tests.sequences.invoices import kept
from tests.support.engines import EngineFactory


@pytest.fixture
def invoices(engine: Engine) -> Kept:
    """Return a database with two customers."""
    return kept(engine)


@pytest.fixture
def sqlite_invoices(engine_for: EngineFactory) -> Kept:
    """Return the same on SQLite only."""
    return kept(engine_for("pysqlite"))


@pytest.fixture
def postgres_invoices(engine_for: EngineFactory, postgres_url: str) -> Kept:
    """Return the same on PostgreSQL only."""
    return kept(engine_for("psycopg"))
