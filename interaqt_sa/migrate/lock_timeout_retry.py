"""Run migrations so that statements that alter a table do not block the application."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from ..dialects.database_errors import is_retryable_transaction_error
from .exclusive_runs import migration_lock

log = logging.getLogger("alembic.interaqt_sa")

#: milliseconds for which a transaction waits for locks, while all others wait behind it
LOCK_TIMEOUT = 200
#: minimum for each of its statements, even if the previous ones took long
_LEAST = 20
_LOCKING = re.compile(r"\s*(ALTER|LOCK|DROP|TRUNCATE|CREATE\s+(UNIQUE\s+)?INDEX)\b", re.IGNORECASE)
#: seconds for which a revision is repeated
_PATIENCE = 600.0


def run_migrations(connection: Connection, **kw: Any) -> None:
    """Run the migrations of ``alembic.context``, one process at a time, without blocking the application.

    Call it in an ``env.py`` after ``context.configure(connection=connection, …)``, instead of
    ``context.run_migrations()`` with its transaction and :func:`.migration_lock`.

    A statement that alters a table waits until no other transaction uses the table, and later transactions wait behind
    it. On PostgreSQL a revision waits for a moment only, for all its tables together; then it is rolled back, and
    started again after a pause. A ``lock_timeout`` set for the role, the database or the connection is respected.

    :param connection: the connection passed to ``context.configure``.
    :param kw: arguments for the functions of revisions, such as ``engine_name=`` in Alembic's ``multidb`` template.
    :raises UnfilledValuesError: see :func:`.migration_lock`.
    """
    from alembic import context

    with migration_lock(connection):
        if connection.in_transaction() or not isinstance(connection.dialect, PGDialect):
            with context.begin_transaction():
                context.run_migrations(**kw)
            return
        with _short_waits(connection):
            _run_patiently(connection, kw)


def _run_patiently(connection: Connection, kw: Mapping[str, Any]) -> None:
    from alembic import context

    until = time.monotonic() + _PATIENCE
    pause = 0.1
    while True:
        try:
            with context.begin_transaction():
                context.run_migrations(**kw)
        except Exception as error:
            connection.rollback()
            if time.monotonic() > until or not is_retryable_transaction_error(error):
                raise
            log.info(
                "The revision is started again, because other transactions use its tables: %s",
                str(error).splitlines()[0],
            )
        else:
            return
        # completed revisions are skipped the next time
        time.sleep(pause)
        pause = min(pause * 1.5, 2.0)


@contextmanager
def _short_waits(connection: Connection) -> Generator[None]:
    """Limit the lock waits of a transaction to :data:`LOCK_TIMEOUT`, unless another limit was set."""
    if _execute(connection, "SHOW lock_timeout") != "0":
        yield
        return
    first: float | None = None  # when the running transaction requested its first lock

    def before(conn: Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        nonlocal first
        if "CONCURRENTLY" in statement:
            # it waits for transactions, but blocks none
            cursor.execute("SET lock_timeout = 0")
        elif _LOCKING.match(statement) and conn.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            now = time.monotonic()
            if first is None:
                first = now
            else:
                # the tables before this one are locked already
                left = LOCK_TIMEOUT - round((now - first) * 1000)
                cursor.execute(f"SET LOCAL lock_timeout = {max(left, _LEAST)}")

    def after(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if "CONCURRENTLY" in statement:
            cursor.execute(f"SET lock_timeout = {LOCK_TIMEOUT}")

    def ended(conn: Connection) -> None:
        nonlocal first
        first = None

    _execute(connection, f"SET lock_timeout = {LOCK_TIMEOUT}")
    listeners = (
        ("before_cursor_execute", before),
        ("after_cursor_execute", after),
        ("commit", ended),
        ("rollback", ended),
    )
    for name, listener in listeners:
        event.listen(connection, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners:
            event.remove(connection, name, listener)
        if not connection.invalidated and not connection.closed:
            connection.rollback()
            _execute(connection, "SET lock_timeout = 0")


def _execute(connection: Connection, statement: str) -> Any:
    with connection.begin():
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None
