"""Run the engine's session listeners after those of the application, whatever the order of registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy.orm import ORMExecuteState

# SQLAlchemy calls listeners in the order of their registration, and has no event after the last of them.


def is_last(listeners: Iterable[Any], own: Any) -> bool:
    """Whether only listeners of other systems come after ``own``."""
    after = False
    for listener in listeners:
        if listener == own:
            after = True
        elif after and not _is_ours(listener, own):
            return False
    return True


def run_first(flush_context: Any, work: Callable[[], None]) -> None:
    """Call ``work`` after all listeners to ``before_flush``, before the unit of work begins.

    It is called only if there is something to write. An error rolls the transaction back, like any error of a flush.
    """
    flush_context.presort_actions.setdefault(("interaqt_sa", id(work)), _Once(work))


class _Once:
    """A presort action of the unit of work, run before those of the mappers."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def execute(self, flush_context: Any) -> bool:
        """Call the function once; return whether other presort actions have to run again."""
        work, self._work = self._work, None
        if work is not None:
            work()
        return False


def go_last(execution: ORMExecuteState, own: Any) -> bool:
    """Move ``own`` behind the other listeners to ``do_orm_execute``; return whether there were any behind it.

    If so, the caller invokes the statement, and is called again with the statement of the other listeners.
    """
    if all(_is_ours(listener, own) for listener in execution._remaining_events()):
        return False
    execution._events_todo.append(own)
    return True


def _is_ours(listener: Any, own: Any) -> bool:
    return type(getattr(listener, "__self__", None)) is type(own.__self__)
