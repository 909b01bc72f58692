"""Run one migration at a time."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from alembic.util import CommandError
from sqlalchemy import ColumnElement, Connection, event, func, select, text
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

from .upgrade_completeness import finish_upgrade
from .written_columns import noting_writes

if TYPE_CHECKING:
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext

log = logging.getLogger("alembic.interaqt_sa")

_PAUSE = 0.2
#: seconds that a migration waits for another one, unless ``-x lock-wait=`` is given
_PATIENCE = 600.0
_HOLDER = text(
    "SELECT format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), a.usename))"
    " FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())"
    " AND (CAST(l.classid AS bigint) << 32) + CAST(l.objid AS bigint) = CAST(:key AS bigint)"
)


class MigrationLockTimeoutError(CommandError):
    """Another migration of this database and environment did not end in time."""


@contextmanager
def migration_lock(connection: Connection) -> Generator[None]:
    """Lock a database so that only one migration runs at a time; a second one waits, and then finds nothing to do.

    Alembic reads the current revision once, at the beginning, so this has to surround ``context.run_migrations()``.
    Environments with different version tables do not wait for each other.

    On PostgreSQL it is an advisory lock of the session; the wait ends with an error after ten minutes, or after
    ``-x lock-wait=`` seconds. On SQLite it makes DDL transactional: Python's driver does not begin a transaction before
    DDL, so that a failed migration would be applied in part. There ``context.configure`` also needs
    ``transactional_ddl=True``. On other databases it has no effect.

    At its end it completes ``alembic upgrade head``: it runs waiting back-fills, and raises an error if a declared
    value is not filled.

    :param connection: the connection passed to ``context.configure``.
    :raises MigrationLockTimeoutError: with the process that holds the lock.
    :raises UnfilledValuesError: with the names of the values.
    """
    is_external = connection.in_transaction()
    lock: AbstractContextManager[None]
    if isinstance(connection.dialect, PGDialect):
        lock = _advisory_lock(connection, _context_of(connection))
    elif isinstance(connection.dialect, SQLiteDialect):
        lock = _immediate_transactions(connection)
    else:
        lock = nullcontext()
    with lock:
        with noting_writes(connection, _context_of(connection)):
            yield
        _finish(connection, is_external=is_external)


def _finish(connection: Connection, *, is_external: bool) -> None:
    context = _context_of(connection)
    if context is not None and context.environment_context is not None:
        finish_upgrade(context.environment_context, is_external=is_external)


def _context_of(connection: Connection) -> MigrationContext | None:
    """Return the context of the ``env.py`` that is being run; ``None`` for other users of the lock."""
    from alembic import context

    # raised by the proxy outside of any environment
    with suppress(NameError, AttributeError):
        if context.get_context().connection is connection:
            return context.get_context()
    return None


@contextmanager
def _advisory_lock(connection: Connection, context: MigrationContext | None) -> Generator[None]:
    key = _key(context)
    patience = _patience(None if context is None else context.environment_context)
    if connection.in_transaction():
        # the caller's transaction, which ends later
        _wait(connection, key, patience, lambda: bool(connection.scalar(select(func.pg_try_advisory_xact_lock(key)))))
        yield
        return
    # polled without an open transaction: CREATE INDEX CONCURRENTLY waits for all transactions with a snapshot
    _wait(connection, key, patience, lambda: _scalar(connection, func.pg_try_advisory_lock(key)))
    try:
        yield
    finally:
        if not connection.invalidated and not connection.closed:
            connection.rollback()
            _scalar(connection, func.pg_advisory_unlock(key))


def _key(context: MigrationContext | None) -> int:
    """Return the key of the advisory lock, which differs for environments with different version tables."""
    schema = None if context is None else context.version_table_schema
    table = "alembic_version" if context is None else context.version_table
    said = f"interaqt_sa.migrate:{schema or ''}:{table}"
    # positive, like the value in pg_locks
    return int.from_bytes(hashlib.sha256(said.encode()).digest()[:8]) >> 1


def _patience(environment: EnvironmentContext | None) -> float:
    given = {} if environment is None else environment.get_x_argument(as_dictionary=True)
    try:
        seconds = float(given.get("lock-wait") or _PATIENCE)
    except ValueError as error:
        raise CommandError(f"-x lock-wait= takes seconds: {error}") from error
    if seconds < 0:
        raise CommandError("-x lock-wait= takes seconds")
    return seconds


def _wait(connection: Connection, key: int, patience: float, take: Callable[[], bool]) -> None:
    until = time.monotonic() + patience
    waiting = False
    while not take():
        if time.monotonic() > until:
            holder = connection.scalar(_HOLDER, {"key": key})
            raise MigrationLockTimeoutError(
                f"another migration of this database has not ended within {patience:g} seconds: {holder}. "
                "Nothing was changed; -x lock-wait=SECONDS waits longer"
            )
        if not waiting:
            log.info("Another migration of this database is running; waiting for it")
            waiting = True
        time.sleep(_PAUSE)


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
