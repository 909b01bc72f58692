"""Transactions on SQLite that take the write lock when they begin."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, SessionTransaction

from .database_errors import normalize_database_error
from .root_engine import root_engine

#: seconds that a writer waits for the write lock
BUSY_TIMEOUT = 30.0
#: seconds if the lock is held by the same thread or task, which probably cannot release it while it waits
OWN_TIMEOUT = 5.0
_PREPARED = "interaqt_sa.sqlite"
_LOCK = threading.Lock()

_OWN_LOCK = (
    "another session or connection of this thread has begun a transaction on this database, and so holds its write "
    "lock, even if it has only read: commit it, roll it back or close it first, or do this work in that session"
)
_OTHER_LOCK = (
    f"another session, thread or program has held the write lock of this database for {BUSY_TIMEOUT:.0f} seconds. "
    "Sessions with a System begin as writers, also those that only read: keep their transactions short, and commit, "
    "roll back or close each of them"
)


class SQLiteTransactions:
    """Begin transactions on SQLite with BEGIN IMMEDIATE; does nothing for other databases.

    A transaction that begins by reading and writes later cannot wait for another writer: SQLite refuses it at once.
    Connections also get a busy timeout, foreign keys and, for files, a write-ahead log. Connections in AUTOCOMMIT, or
    in a manual transaction mode set by the application (``isolation_level = None``), are left as they are.
    """

    def __init__(self) -> None:
        self._engines: WeakKeyDictionary[Engine, _Writers] = WeakKeyDictionary()

    def session_listeners(self) -> list[tuple[str, Callable[..., Any]]]:
        """Return the session listeners that configure the engines of sessions on first use."""
        return [
            ("after_transaction_create", self._configure_bind),
            ("after_begin", self._configure_connection),
        ]

    def configure(self, engine: Engine) -> None:
        """Configure ``engine``, including its variants made by ``execution_options()``."""
        if engine.dialect.name == "sqlite":
            self._writers_on(engine)

    def _writers_on(self, engine: Engine) -> _Writers:
        root = root_engine(engine)
        found = self._engines.get(root)
        if found is None:
            found = self._engines[root] = _Writers.on(root)
            found.add(self)
        return found

    def keep(self, engines: Iterable[Engine]) -> None:
        """Stop configuring all engines except ``engines``; other owners of an engine are not affected."""
        kept = {root_engine(engine) for engine in engines}
        for engine in [engine for engine in self._engines if engine not in kept]:
            self._engines.pop(engine).drop(self)

    def _configure_bind(self, session: Session, transaction: SessionTransaction) -> None:
        bind = session.bind
        if transaction.parent is None and isinstance(bind, Engine):
            self.configure(bind)
        elif transaction.parent is None and isinstance(bind, Connection) and bind.in_transaction():
            # begun by the application, such as a test that rolls everything back; the session uses savepoints in it
            self._configure_connection(session, transaction, bind)

    def _configure_connection(self, session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        """Configure an engine that is known only at its first transaction, such as one of ``binds=``."""
        engine: Any = connection.engine
        if connection.dialect.name == "sqlite" and isinstance(engine, Engine):
            self._writers_on(engine).begin(connection)


class _Writers:
    """The ``begin`` listener of one engine, shared by all owners that configure the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = ref(engine)
        self._owners: WeakSet[SQLiteTransactions] = WeakSet()
        self._begun = threading.local()

    @classmethod
    def on(cls, engine: Engine) -> _Writers:
        """Return the listener of ``engine``, creating it if there is none."""
        with _LOCK:
            owners = (getattr(listener, "__self__", None) for listener in engine.dispatch.begin)
            found = next((owner for owner in owners if isinstance(owner, cls)), None)
            if found is None:
                found = cls(engine)
                event.listen(engine, "begin", found.begin)
                event.listen(engine, "invalidate", _release)
            return found

    def add(self, owner: SQLiteTransactions) -> None:
        with _LOCK:
            self._owners.add(owner)

    def drop(self, owner: SQLiteTransactions) -> None:
        """Remove ``owner``; with the last owner the listeners are removed, and the driver begins transactions again."""
        with _LOCK:
            self._owners.discard(owner)
            engine = self._engine()
            if not self._owners and engine is not None:
                event.remove(engine, "begin", self.begin)
                event.remove(engine, "invalidate", _release)

    def begin(self, connection: Connection) -> None:
        """Begin the transaction with the write lock."""
        raw: Any = connection.connection.dbapi_connection
        # isolation_level None means AUTOCOMMIT, or that the application begins transactions itself
        if _in_transaction(raw) or raw.isolation_level is None or not self._owners:
            return
        if _PREPARED not in connection.info:
            _prepare(raw)
            # set last: if the task is cancelled before, the next one prepares the connection again
            connection.info[_PREPARED] = True
        is_held_here = self._is_held_here()
        try:
            with _waiting(raw, OWN_TIMEOUT) if is_held_here else nullcontext():
                _run(raw, "BEGIN IMMEDIATE")
        except Exception as error:
            found = normalize_database_error(error)
            if found is None or found.kind != "lock":
                raise
            locked = OperationalError("BEGIN IMMEDIATE", None, error)
            locked.add_detail(_OWN_LOCK if is_held_here else _OTHER_LOCK)
            raise locked from error
        self._here()[connection] = _current_task()

    def _is_held_here(self) -> bool:
        """Whether a transaction begun by this thread, or under asyncio by this task, is still open."""
        here = self._here()
        for other in [other for other in list(here) if not other.in_transaction()]:
            here.pop(other, None)
        return bool(here) and _current_task() in here.values()

    def _here(self) -> WeakKeyDictionary[Connection, ref[asyncio.Task[Any]] | None]:
        found: WeakKeyDictionary[Connection, ref[asyncio.Task[Any]] | None] | None
        found = getattr(self._begun, "connections", None)
        if found is None:
            found = self._begun.connections = WeakKeyDictionary()
        return found


def _current_task() -> ref[asyncio.Task[Any]] | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no event loop in this thread
        return None
    return None if task is None else ref(task)


@contextmanager
def _waiting(raw: Any, seconds: float) -> Generator[None]:
    """Set the busy timeout of a connection inside the block."""
    _run(raw, f"PRAGMA busy_timeout = {int(seconds * 1000)}")
    try:
        yield
    finally:
        _run(raw, f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")


def _release(raw: Any, record: object, exception: object) -> None:
    """Release the write lock of an invalidated connection, as when its task was cancelled.

    SQLite keeps a closed connection open, with its locks, as long as it has cursors that were not exhausted, and the
    cursors of a cancelled task live until they are garbage-collected.
    """
    with suppress(Exception):
        raw.rollback()


def _prepare(raw: Any) -> None:
    for pragma in (
        "foreign_keys = ON",
        f"busy_timeout = {int(BUSY_TIMEOUT * 1000)}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
    ):
        _run(raw, f"PRAGMA {pragma}")


def _run(raw: Any, statement: str) -> None:
    cursor = raw.cursor()
    cursor.execute(statement)
    cursor.close()


def _in_transaction(raw: Any) -> bool:
    driver = getattr(raw, "driver_connection", raw)  # the adapter of an asynchronous driver
    return bool(getattr(driver, "in_transaction", False))
