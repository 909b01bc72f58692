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
    :ivar engines: the engines that have taken part since their first connection, or since they were attached.
    """

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.asked: tuple[Engine | Connection, SessionTransaction | None] | None = None
        self.connections: list[Connection] = []
        self.engines: set[object] = set()
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

    def within_savepoint(self) -> None:
        """Note that a savepoint may have begun before the session came to its connection."""
        if not self._marks:
            self._marks.append(("", 0, 0))

    def release(self, name: str) -> None:
        """Forget where savepoint ``name`` began: it belongs to the one around it now, or to the transaction."""
        for index in range(len(self._marks) - 1, -1, -1):
            if self._marks[index][0] == name:
                del self._marks[index:]
                break
        if not self._marks:
            self.undo.clear()

    def rollback_to(self, name: str) -> None:
        """Take back everything since savepoint ``name``: all, if it began before the session came to its connection."""
        index = next((i for i in range(len(self._marks) - 1, -1, -1) if self._marks[i][0] == name), -1)
        _, events, undo = self._marks[index] if index >= 0 else (name, 0, 0)
        for restore in reversed(self.undo[undo:]):
            restore()
        del self.undo[undo:], self.events[events:], self._marks[index + 1 :]


class SessionState:
    """What a session carries from transaction to transaction.

    :ivar collect_events: whether mutation events are kept even where no computation waits for them.
    :ivar context: what callbacks that may do I/O get as ``ctx``; a dispatch puts its context here.
    :ivar transaction: state of the running root transaction.
    :ivar flushes: the part of each attached engine in the running flush.
    :ivar units: the writes that are running, the outermost first; see :mod:`.all_or_nothing`.
    :ivar is_managed: whether the engine follows the statement that is running.
    :ivar bind: where that statement runs, if it was given a place of its own (``bind_arguments``).
    """

    def __init__(self) -> None:
        self.collect_events = False
        self.context: Any = None
        self.transaction = TransactionState()
        self.flushes: dict[object, Any] = {}
        self.units: list[Any] = []
        self.is_managed = False
        self.bind: Engine | Connection | None = None

    @contextmanager
    def managed(self, bind: Engine | Connection | None = None) -> Generator[None]:
        """Mark statements that run meanwhile as followed by the engine.

        :param bind: where they run, if not where the session runs them by itself.
        """
        before = self.is_managed, self.bind
        self.is_managed, self.bind = True, bind or self.bind
        try:
            yield
        finally:
            self.is_managed, self.bind = before

    @classmethod
    def of(cls, session: Session) -> SessionState:
        """Return the state of ``session``, making it if there is none."""
        found = session.info.get(INFO_KEY)
        if not isinstance(found, cls):
            found = session.info[INFO_KEY] = cls()
        return found
