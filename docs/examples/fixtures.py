"""Tests of an app: each in a transaction that is rolled back, whatever it commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.orm import Session

import interaqt_sa as iq

from .existing_app import Base, SessionLocal


@contextmanager
def rolled_back_session(engine: sa.Engine) -> Iterator[Session]:
    """Make it a fixture: ``session = pytest.fixture(…)``. The app's own sessions are a part of it too."""
    iq.System(engine)  # on SQLite: transactions that begin before the first statement, CREATE TABLE included
    with engine.connect() as connection, connection.begin() as transaction:
        Base.metadata.create_all(connection)
        SessionLocal.configure(bind=connection, join_transaction_mode="create_savepoint")
        try:
            with SessionLocal() as session:
                yield session
        finally:
            SessionLocal.configure(bind=engine, join_transaction_mode="conditional_savepoint")
            transaction.rollback()
