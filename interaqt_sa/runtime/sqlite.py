"""SQLite as a database of several writers: every transaction takes the write lock when it begins."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.orm import Session, SessionTransaction

#: seconds that a writer waits for another
BUSY_TIMEOUT = 30.0
_CONFIGURED = "interaqt_sa.sqlite"


def configure_sqlite(engine: Engine) -> None:
    """Make transactions on ``engine`` begin with BEGIN IMMEDIATE; does nothing for other databases.

    A transaction that begins by reading and writes later cannot wait for another writer: SQLite refuses it at once.
    Connections are also given a busy timeout, foreign keys and, for files, a write-ahead log. An engine whose driver
    was put into manual transactions by the application (``isolation_level = None``) keeps its own way.
    """
    if engine.dialect.name == "sqlite" and not event.contains(engine, "begin", _begin):
        event.listen(engine, "begin", _begin)
        event.listen(engine, "invalidate", _release)


def configure_sqlite_sessions(target: Any) -> None:
    """Do the same for the engines of the sessions of ``target``, as soon as one is used; to be called once."""
    for name, listener in (("after_transaction_create", _configure_bind), ("after_begin", _configure_connection)):
        event.listen(target, name, listener)


def _configure_bind(session: Session, transaction: SessionTransaction) -> None:
    bind = session.bind
    if transaction.parent is None and isinstance(bind, Engine):
        configure_sqlite(bind)
    elif transaction.parent is None and isinstance(bind, Connection) and bind.in_transaction():
        # begun by the application, such as a test that rolls everything back: the session's savepoints come next
        _configure_connection(session, transaction, bind)


def _configure_connection(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Configure an engine that only its first transaction makes known, such as one of ``binds=``."""
    if connection.dialect.name == "sqlite" and not event.contains(connection.engine, "begin", _begin):
        configure_sqlite(connection.engine)
        _begin(connection)


def _begin(connection: Connection) -> None:
    proxied = connection.connection
    raw: Any = proxied.dbapi_connection
    state = connection.info.get(_CONFIGURED)
    if state is None and (raw.isolation_level is None or _in_transaction(raw)):
        state = connection.info[_CONFIGURED] = "theirs"
    if state not in ("ours", "theirs"):
        # a task may be cancelled in the middle; the next one then prepares the connection anew
        connection.info[_CONFIGURED] = "begun"
        _prepare(raw)
        state = connection.info[_CONFIGURED] = "ours"
    if state == "ours" and not _in_transaction(raw):
        cursor = raw.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        cursor.close()


def _release(raw: Any, record: object, exception: object) -> None:
    """Give back the write lock of a connection that is thrown away, as when its task was cancelled.

    SQLite keeps a closed connection open, with its locks, as long as there are cursors that were not read to their
    end; and those of a cancelled task live until they are collected.
    """
    with suppress(Exception):
        raw.rollback()


def _prepare(raw: Any) -> None:
    raw.isolation_level = None
    cursor = raw.cursor()
    for pragma in (
        "foreign_keys = ON",
        f"busy_timeout = {int(BUSY_TIMEOUT * 1000)}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _in_transaction(raw: Any) -> bool:
    driver = getattr(raw, "driver_connection", raw)  # the adapter of an asynchronous driver
    return bool(getattr(driver, "in_transaction", False))
