"""Undo a statement that fails after it has written, as the unit of work undoes a flush."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy.orm import Session


class Progress:
    """How far a write has come.

    :ivar has_written: whether an error now would leave a part of it.
    """

    def __init__(self) -> None:
        self.has_written = False

    @contextmanager
    def writing(self, *, in_parts: bool = False) -> Generator[None]:
        """Run one statement; an error of it leaves nothing, unless it is run in several parts."""
        self.has_written = self.has_written or in_parts
        yield
        self.has_written = True


@contextmanager
def all_or_nothing(session: Session) -> Generator[Progress]:
    """Roll back the transaction, or the savepoint, of ``session`` if an error leaves a part of a write.

    Until the application rolls back as well, the session refuses everything with SQLAlchemy's
    ``PendingRollbackError``, which names the error. It is what happens to a flush that fails, and costs no savepoint.
    """
    progress = Progress()
    try:
        yield progress
    except BaseException:
        if progress.has_written and session.is_active:
            with suppress(Exception):  # the first error is the one that tells why
                _roll_back(session)
        raise


def _roll_back(session: Any) -> None:
    # a part of the transaction that fails ends it, but leaves it there, so that only a rollback goes on
    session._autobegin_t()._begin().rollback(_capture_exception=True)
