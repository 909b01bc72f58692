"""The package's state of sessions and their transactions, stored in ``session.info``."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..definitions.computation import INFO_KEY
from ..definitions.events import MutationEvent

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.orm import Session, SessionTransaction


class TransactionState:
    """The state of one root transaction of one session.

    :ivar events: mutation events so far, in order.
    :ivar told: how many of them were reported to listeners.
    :ivar moved_sequences: maps names of sequences to the ids beyond which they were advanced; not undone by a rollback.
    :ivar undo: functions that restore the state in memory at a rollback to a savepoint.
    :ivar connection: the connection on which the engine writes, after its first write.
    :ivar asked: the bind and the transaction or savepoint for which the session last returned that connection.
    :ivar connections: all connections of the transaction.
    :ivar engines: the computation engines that take part, since their first connection or since they were attached.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.asked: tuple[Engine | Connection, SessionTransaction | None] | None = None
        self.connections: list[Connection] = []
        self.engines: set[object] = set()
        self.events: list[MutationEvent] = []
        self.undo: list[Callable[[], None]] = []
        self.moved_sequences: dict[str, int] = {}
        self.told = 0
        self._marks: list[tuple[str, int, int]] = []

    @property
    def in_savepoint(self) -> bool:
        """Whether a savepoint is open, so that a part of the transaction may be rolled back."""
        return bool(self._marks)

    def savepoint(self, name: str) -> None:
        """Record the beginning of savepoint ``name``."""
        self._marks.append((name, len(self.events), len(self.undo)))

    def within_savepoint(self) -> None:
        """Record that a savepoint may have begun before the session used its connection."""
        if not self._marks:
            self._marks.append(("", 0, 0))

    def release(self, name: str) -> None:
        """Merge savepoint ``name`` into the enclosing savepoint or transaction."""
        for index in range(len(self._marks) - 1, -1, -1):
            if self._marks[index][0] == name:
                del self._marks[index:]
                break
        if not self._marks:
            self.undo.clear()

    def rollback_to(self, name: str) -> None:
        """Undo everything since savepoint ``name``; all, if it began before the session used its connection."""
        index = next((i for i in range(len(self._marks) - 1, -1, -1) if self._marks[i][0] == name), -1)
        _, events, undo = self._marks[index] if index >= 0 else (name, 0, 0)
        for restore in reversed(self.undo[undo:]):
            restore()
        del self.undo[undo:], self.events[events:], self._marks[index + 1 :]
        self.told = min(self.told, events)


class SessionState:
    """The state of a session across transactions.

    :ivar collect_events: whether mutation events are recorded even if no computation reacts to them.
    :ivar listeners: listeners of each attached system that are called after every write; see :class:`.WriteListeners`.
    :ivar holds_back: whether they are called later, because the write continues.
    :ivar filtered: the attributes of the key of each filtered record, by its name.
    :ivar context: the ``ctx`` argument of callbacks that may do I/O; set by a dispatch.
    :ivar is_repeated: whether the transaction is repeated at SERIALIZABLE if an operation requires it, as a dispatch.
    :ivar locked_tables: tables that it has locked against other writers before its first statement.
    :ivar transaction: state of the current root transaction.
    :ivar flushes: state of the current flush, by attached engine.
    :ivar units: the current writes, outermost first; see :mod:`.all_or_nothing`.
    :ivar is_managed: whether the engine follows the current statement.
    :ivar bind: the bind of that statement, if it was given explicitly (``bind_arguments``).
    """

    def __init__(self) -> None:
        self.collect_events = False
        self.listeners: list[Any] = []
        self.holds_back = False
        self.filtered: dict[str, tuple[str, ...]] = {}
        self.context: Any = None
        self.is_repeated = False
        self.locked_tables: frozenset[Table] = frozenset()
        self.transaction = TransactionState()
        self.flushes: dict[object, Any] = {}
        self.units: list[Any] = []
        self.is_managed = False
        self.bind: Engine | Connection | None = None

    @property
    def wants_events(self) -> bool:
        """Whether mutation events are recorded even if no computation reacts to them."""
        return self.collect_events or bool(self.listeners)

    @contextmanager
    def managed(self, bind: Engine | Connection | None = None) -> Generator[None]:
        """Mark the statements inside the block as followed by the engine.

        :param bind: their bind, if it is not the session's default.
        """
        before = self.is_managed, self.bind
        self.is_managed, self.bind = True, bind or self.bind
        try:
            yield
        finally:
            self.is_managed, self.bind = before

    @classmethod
    def of(cls, session: Session) -> SessionState:
        """Return the state of ``session``, creating it if there is none."""
        found = session.info.get(INFO_KEY)
        if not isinstance(found, cls):
            found = session.info[INFO_KEY] = cls()
        return found
