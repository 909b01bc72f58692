"""Functions called after the commit of the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

_Work: TypeAlias = Callable[[], object]
_KEY = "interaqt_sa.after_commit"


def run_after_commit(session: Session, work: _Work) -> None:
    """Call ``work`` after the current transaction of ``session`` has been committed.

    It runs after the session has released its connections. A rollback of the transaction, or of the savepoint in which
    this function was called, discards it.
    """
    waiting = session.info.get(_KEY)
    if not isinstance(waiting, _Waiting):
        waiting = session.info[_KEY] = _Waiting()
        event.listen(session, "after_commit", waiting.committed)
        event.listen(session, "after_transaction_end", waiting.ended)
    waiting.add(session, work)


class _Waiting:
    """The pending work of one session, by transaction or savepoint."""

    def __init__(self) -> None:
        self._work: dict[SessionTransaction, list[_Work]] = {}
        self._committed: SessionTransaction | None = None

    def add(self, session: Session, work: _Work) -> None:
        transaction = _innermost(session)
        if transaction is None:
            raise RuntimeError("run_after_commit() needs a transaction to wait for")
        self._work.setdefault(transaction, []).append(work)

    def committed(self, session: Session) -> None:
        # the event is also fired when a savepoint is released
        self._committed = _innermost(session)

    def ended(self, session: Session, transaction: SessionTransaction) -> None:
        works = self._work.pop(transaction, [])
        if transaction is not self._committed:
            return
        self._committed = None
        enclosing = _innermost(session)
        if enclosing is not None:
            self._work.setdefault(enclosing, []).extend(works)
            return
        for work in works:
            work()


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()
