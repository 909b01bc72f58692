"""Run one migration at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from sqlalchemy import ColumnElement, Connection, event, func, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from .upgrade_completeness import finish_upgrade

log = logging.getLogger("alembic.interaqt_sa")

#: key of the advisory lock, the same for all environments of a database
_KEY = 0x1A9A_2705_A1EB
_PAUSE = 0.2


@contextmanager
def migration_lock(connection: Connection) -> Generator[None]:
    """Lock a database so that only one migration runs at a time; a second one waits, and then finds nothing to do.

    Alembic reads the current revision once, at the beginning, so this has to surround ``context.run_migrations()``.

    On PostgreSQL it is an advisory lock of the session. On SQLite it makes DDL transactional: Python's driver does not
    begin a transaction before DDL, so that a failed migration would be applied in part. There ``context.configure``
    also needs ``transactional_ddl=True``. On other databases it has no effect.

    At its end it completes ``alembic upgrade head``: it runs waiting back-fills, and raises an error if a declared
    value is not filled.

    :param connection: the connection passed to ``context.configure``.
    :raises UnfilledValuesError: with the names of the values.
    """
    is_external = connection.in_transaction()
    lock: AbstractContextManager[None]
    if isinstance(connection.dialect, PGDialect):
        lock = _advisory_lock(connection)
    elif isinstance(connection.dialect, SQLiteDialect):
        lock = _immediate_transactions(connection)
    else:
        lock = nullcontext()
    with lock:
        yield
        _finish(connection, is_external=is_external)


def _finish(connection: Connection, *, is_external: bool) -> None:
    from alembic import context

    # alembic.context belongs to the running env.py; other callers of the lock have none
    with suppress(NameError):
        environment = context.get_context().environment_context
        if environment is not None and context.get_context().connection is connection:
            finish_upgrade(environment, is_external=is_external)


@contextmanager
def _advisory_lock(connection: Connection) -> Generator[None]:
    if connection.in_transaction():
        # the caller's transaction, which ends later
        connection.execute(select(func.pg_advisory_xact_lock(_KEY)))
        yield
        return
    waiting = False
    while not _scalar(connection, func.pg_try_advisory_lock(_KEY)):
        # polled without an open transaction: CREATE INDEX CONCURRENTLY waits for all transactions with a snapshot
        if not waiting:
            log.info("Another migration of this database is running; waiting for it")
            waiting = True
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        if not connection.invalidated and not connection.closed:
            connection.rollback()
            _scalar(connection, func.pg_advisory_unlock(_KEY))


def _scalar(connection: Connection, function: ColumnElement[bool]) -> bool:
    with connection.begin():
        return bool(connection.scalar(select(function)))


@contextmanager
def _immediate_transactions(connection: Connection) -> Generator[None]:
    def begin(connection: Connection) -> None:
        driver = connection.connection.driver_connection
        autocommit = connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"
        if not autocommit and not getattr(driver, "in_transaction", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(connection, "begin", begin)
    try:
        yield
    finally:
        event.remove(connection, "begin", begin)
