"""A running flush, and the statements that belong to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Mapper, Session

from .statements_replaced_by_listeners import replaces_statements

F = TypeVar("F")


class RunningFlush(Generic[F]):
    """One flush of one session.

    :param context: SQLAlchemy's ``UOWTransaction``.
    :ivar flush: the engine's handler of the flush; ``None`` as long as it has nothing to do.
    :ivar is_written: whether the unit of work has finished writing, so that only listeners to ``after_flush`` remain.
    """

    def __init__(self, session: Session, context: Any) -> None:
        self._session = session
        self.context = context
        self.flush: F | None = None
        self.is_written = False
        self._asked = 0
        self._has_events = False

    @property
    def is_running(self) -> bool:
        """Whether its transaction is open: it has begun to write, and has not failed."""
        own = getattr(self.context, "transaction", None)
        current: Any = self._session._transaction
        while current is not None and current is not own:
            current = current._parent
        return own is not None and current is own

    @property
    def takes_statements(self) -> bool:
        """Whether statements that the session executes now belong to the flush."""
        return self.is_running and (self.flush is not None or not self.is_written)

    def begun(self, make: Callable[[], F]) -> F | None:
        """Return the engine's handler, created if there was none yet; ``None`` if the flush has ended."""
        if self.flush is None and self.is_running:
            self.flush = make()
        return self.flush if self.is_running else None

    def is_statement_of_mapper(self, options: Mapping[str, Any]) -> bool:
        """Whether the ORM writes rows of a class, by the unit of work or by ``bulk_save_objects()`` and the like."""
        cache = options.get("compiled_cache")
        if cache is None:
            return False
        return any(cache is mapper.base_mapper._compiled_cache for mapper in self.context.mappers)

    @property
    def is_at_work(self) -> bool:
        """Whether no other transaction or savepoint was begun within it."""
        return self._session._transaction is getattr(self.context, "transaction", None)

    def runs_code(self, connection: Connection | None) -> bool:
        """Whether code of the application runs during the write, so that loaded values may differ from written ones."""
        mappers = self.context.mappers
        if len(mappers) != self._asked:  # the unit of work adds mappers while it collects its actions
            self._asked = len(mappers)
            self._has_events = any(map(_has_events, list(mappers)))
        if self._has_events:
            return True
        return connection is not None and replaces_statements(connection)


def _has_events(mapper: Mapper[Any]) -> bool:
    heard = mapper.dispatch
    return bool(
        heard.before_insert
        or heard.after_insert
        or heard.before_update
        or heard.after_update
        or heard.before_delete
        or heard.after_delete
    )
