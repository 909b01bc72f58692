"""The extent of a running flush, and which statements meanwhile are its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.orm import Mapper, Session

from .replaced_statements import replaces_statements

#: mapper events in which code of the application runs while rows are written
_EVENTS = ("before_insert", "after_insert", "before_update", "after_update", "before_delete", "after_delete")


F = TypeVar("F")


class RunningFlush(Generic[F]):
    """One flush of one session.

    :param context: SQLAlchemy's unit of work.
    :ivar flush: what the engine does about it; ``None`` as long as there is nothing to do.
    :ivar is_written: whether the unit of work has written, so that only listeners to ``after_flush`` are left.
    """

    def __init__(self, session: Session, context: Any) -> None:
        self._session = session
        self.context = context
        self.flush: F | None = None
        self.is_written = False
        self._asked: list[Mapper[Any]] = []
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
        """Whether what a session executes now is a part of it."""
        return self.is_running and (self.flush is not None or not self.is_written)

    def begun(self, make: Callable[[], F]) -> F | None:
        """Return what the engine does about it, from now on if nothing was to be done yet; ``None`` if it is over."""
        if self.flush is None and self.is_running:
            self.flush = make()
        return self.flush if self.is_running else None

    def is_statement_of_mapper(self, options: Mapping[str, Any]) -> bool:
        """Whether the ORM writes rows of a class: the unit of work, or ``bulk_save_objects()`` and its like."""
        cache = options.get("compiled_cache")
        return cache is not None and any(cache is mapper.base_mapper._compiled_cache for mapper in self._mappers())

    @property
    def is_at_work(self) -> bool:
        """Whether no transaction or savepoint was begun within it: those of the unit of work are none."""
        return self._session._transaction is getattr(self.context, "transaction", None)

    def runs_code(self, connection: Connection | None) -> bool:
        """Whether code of the application runs while it writes, so that memory may differ from what is written."""
        mappers = self._mappers()
        if len(mappers) != len(self._asked):  # it learns of more while it looks for what there is to do
            self._asked = mappers
            self._has_events = any(getattr(mapper.dispatch, name) for mapper in mappers for name in _EVENTS)
        if self._has_events:
            return True
        return connection is not None and replaces_statements(connection)

    def _mappers(self) -> list[Mapper[Any]]:
        return list(self.context.mappers)
