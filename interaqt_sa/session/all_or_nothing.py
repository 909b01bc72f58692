"""Undo of a write that fails after a part of it was executed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, NestedTransaction
from sqlalchemy.orm import InstanceState, Session

from .session_snapshot import SessionMark
from .state import SessionState

# Classes instead of generators, which would cost each write several times as much.


class WriteUnit:
    """The statements of one write of a session.

    :ivar has_written: whether an error would leave a part of the write in the transaction.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.has_written = False
        self._savepoint: NestedTransaction | None = None
        self._mark: SessionMark | None = None
        self._flushed: list[InstanceState[Any]] = []

    @property
    def is_protected(self) -> bool:
        """Whether the write has a savepoint, so that an error does not affect the transaction."""
        return self._savepoint is not None

    def protect(self, connection: Connection) -> None:
        """Begin a savepoint, unless there is one or a part of the write has been executed."""
        if self._savepoint is None and not self.has_written:
            self._mark = self._mark or SessionMark(self.session)
            self._savepoint = connection.begin_nested()

    def writing(self, *, in_parts: bool = False) -> _Writing:
        """Run one statement, which is atomic unless it is executed in several parts."""
        return _Writing(self, in_parts)

    def before_flush(self) -> None:
        """Record the pending objects of the session before it flushes."""
        session: Any = self.session
        self._flushed += session._new

    def release(self) -> None:
        """Release the savepoint, if there is one."""
        if self._savepoint is not None and self._savepoint.is_active:
            self._savepoint.commit()

    def undo(self) -> None:
        """Roll back to the savepoint, or the whole transaction if there is none."""
        if not self.session.is_active:
            return  # a failed flush has rolled back already
        if self._savepoint is not None and self._savepoint.is_active:  # inactive if its release has failed
            with suppress(Exception):
                self._savepoint.rollback()
                self._go_back()
                return
        if self.has_written or self._savepoint is not None:
            with suppress(Exception):  # the original error is raised
                _roll_back(self.session)
        else:
            self._go_back()

    def _go_back(self) -> None:
        if self._mark is not None:
            self._mark.go_back(self._flushed, keeps_assigned=True)


class UnitOfFlushes(WriteUnit):
    """The flushes of one write of a session; all but the last are followed by code that may fail.

    :param connection: returns the connection of the flushes.
    """

    def __init__(self, session: Session, connection: Callable[[], Connection]) -> None:
        super().__init__(session)
        session.flush()  # earlier assignments of the application are not part of the write
        self._connection = connection
        self._mark = SessionMark(session)
        self._is_last = False

    def before_flush(self) -> None:
        super().before_flush()
        if not self._is_last:
            self.protect(self._connection())
        self.has_written = True

    def flush_last(self) -> None:
        """Flush the rest of the write."""
        self._is_last = not SessionState.of(self.session).listeners  # they come after it, and may fail
        self.session.flush()

    def _go_back(self) -> None:
        assert self._mark is not None
        self._mark.go_back(self._flushed, keeps_assigned=False)


class _Writing:
    def __init__(self, unit: WriteUnit, in_parts: bool) -> None:
        self._unit = unit
        self._in_parts = in_parts

    def __enter__(self) -> None:
        self._unit.has_written = self._unit.has_written or self._in_parts

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is None:
            self._unit.has_written = True


class all_or_nothing:  # noqa: N801  a context manager
    """Undo a write if an error leaves a part of it.

    If the write has a savepoint (see :meth:`WriteUnit.protect`), the transaction continues without the write. Else the
    transaction of the session, or the session's own savepoint, is rolled back, as by a failed flush: until the
    application rolls back as well, the session raises SQLAlchemy's ``PendingRollbackError``, which names the error.
    This costs no statement.
    """

    def __init__(self, unit: WriteUnit) -> None:
        self._unit = unit
        self._units = SessionState.of(unit.session).units

    def __enter__(self) -> None:
        self._units.append(self._unit)

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        self._units.remove(self._unit)
        if kind is not None:
            self._unit.undo()
            return
        try:
            self._unit.release()
        except BaseException:
            self._unit.undo()
            raise


def is_flushing(session: Any) -> bool:
    """Whether a flush is running, which rolls back by itself if it fails."""
    return bool(session._flushing)


def _roll_back(session: Any) -> None:
    # like a failed flush: the transaction stays on the session, inactive, until the application rolls back
    session._autobegin_t()._begin().rollback(_capture_exception=True)
