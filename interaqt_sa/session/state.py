"""What the package keeps while a session's transaction runs: all of it on ``session.info``."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..definitions.computation import INFO_KEY
from ..definitions.events import MutationEvent

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.orm import Session, SessionTransaction


class TransactionState:
    """The state of one root transaction of one session.

    :ivar events: mutation events so far, in order.
    :ivar moved_sequences: the ids past which sequences were moved, by their names; a rollback leaves them there.
    :ivar undo: how to take back, in memory, what was done since each savepoint.
    :ivar connection: the connection on which the engine writes, once it has written.
    :ivar asked: the bind for which, and the transaction or savepoint in which, the session last gave that connection.
    :ivar connections: all connections of the transaction.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.asked: tuple[Engine | Connection, SessionTransaction | None] | None = None
        self.connections: list[Connection] = []
        self.events: list[MutationEvent] = []
        self.undo: list[Callable[[], None]] = []
        self.moved_sequences: dict[str, int] = {}
        self._marks: list[tuple[str, int, int]] = []

    @property
    def in_savepoint(self) -> bool:
        """Whether some of it may still be taken back alone."""
        return bool(self._marks)

    def savepoint(self, name: str) -> None:
        """Remember where savepoint ``name`` began."""
        self._marks.append((name, len(self.events), len(self.undo)))

    def rollback_to(self, name: str) -> None:
        """Take back everything since savepoint ``name``."""
        for index in range(len(self._marks) - 1, -1, -1):
            if self._marks[index][0] == name:
                _, events, undo = self._marks[index]
                for restore in reversed(self.undo[undo:]):
                    restore()
                del self.undo[undo:], self.events[events:], self._marks[index + 1 :]
                return


class SessionState:
    """What a session carries from transaction to transaction.

    :ivar collect_events: whether mutation events are kept even where no computation waits for them.
    :ivar context: what callbacks that may do I/O get as ``ctx``; a dispatch puts its context here.
    :ivar transaction: state of the running root transaction.
    :ivar flushes: the part of each attached engine in the running flush.
    :ivar is_managed: whether the engine follows the statement that is running.
    """

    def __init__(self) -> None:
        self.collect_events = False
        self.context: Any = None
        self.transaction = TransactionState()
        self.flushes: dict[object, Any] = {}
        self.is_managed = False

    @contextmanager
    def managed(self) -> Generator[None]:
        """Mark statements that run meanwhile as followed by the engine."""
        before, self.is_managed = self.is_managed, True
        try:
            yield
        finally:
            self.is_managed = before

    @classmethod
    def of(cls, session: Session) -> SessionState:
        """Return the state of ``session``, making it if there is none."""
        found = session.info.get(INFO_KEY)
        if not isinstance(found, cls):
            found = session.info[INFO_KEY] = cls()
        return found
