"""Undo a statement that fails after it has written, as the unit of work undoes a flush."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any

from sqlalchemy.orm import Session

# Classes, not generators: each write goes through both, and a generator costs several times as much.


class Progress:
    """How far a write has come.

    :ivar has_written: whether an error now would leave a part of it.
    """

    def __init__(self) -> None:
        self.has_written = False

    def writing(self, *, in_parts: bool = False) -> _Writing:
        """Run one statement; an error of it leaves nothing, unless it is run in several parts."""
        return _Writing(self, in_parts)


class _Writing:
    def __init__(self, progress: Progress, in_parts: bool) -> None:
        self._progress = progress
        self._in_parts = in_parts

    def __enter__(self) -> None:
        self._progress.has_written = self._progress.has_written or self._in_parts

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is None:
            self._progress.has_written = True


class all_or_nothing:  # noqa: N801  a context manager
    """Roll back the transaction, or the savepoint, of ``session`` if an error leaves a part of a write.

    Until the application rolls back as well, the session refuses everything with SQLAlchemy's
    ``PendingRollbackError``, which names the error. It is what happens to a flush that fails, and costs no savepoint.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._progress = Progress()

    def __enter__(self) -> Progress:
        return self._progress

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None) -> None:
        if kind is not None and self._progress.has_written and self._session.is_active:
            with suppress(Exception):  # the first error is the one that tells why
                _roll_back(self._session)


def _roll_back(session: Any) -> None:
    # a part of the transaction that fails ends it, but leaves it there, so that only a rollback goes on
    session._autobegin_t()._begin().rollback(_capture_exception=True)
