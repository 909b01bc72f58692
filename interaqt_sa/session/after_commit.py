"""Work that waits until the caller's transaction is committed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

_Work: TypeAlias = Callable[[], object]
_KEY = "interaqt_sa.after_commit"


def run_after_commit(session: Session, work: _Work) -> None:
    """Call ``work`` once the transaction that ``session`` is in has been committed, as often as this was asked for.

    It runs when the session has given its connections back. A rollback drops it, also one of a savepoint in which it
    was asked for.
    """
    waiting = session.info.get(_KEY)
    if not isinstance(waiting, _Waiting):
        waiting = session.info[_KEY] = _Waiting()
        event.listen(session, "after_commit", waiting.committed)
        event.listen(session, "after_transaction_end", waiting.ended)
    waiting.add(session, work)


class _Waiting:
    """The work that waits on one session, by transaction or savepoint."""

    def __init__(self) -> None:
        self._work: dict[SessionTransaction, list[_Work]] = {}
        self._committed: SessionTransaction | None = None

    def add(self, session: Session, work: _Work) -> None:
        transaction = _innermost(session)
        if transaction is None:
            raise RuntimeError("run_after_commit() needs a transaction to wait for")
        self._work.setdefault(transaction, []).append(work)

    def committed(self, session: Session) -> None:
        # also called when a savepoint is released
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
