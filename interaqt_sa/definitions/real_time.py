"""Values that depend on the current time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Column

from ..dialects.column_types import AwareDateTime
from ..errors import ComputationProtocolError
from .computation import Computation, T
from .data_dependencies import DataDependency
from .dependency_arguments import parse_dependencies
from .references import References
from .type_aliases import AttributeQuery
from .validation import refuse_coroutine_function, refuse_text, require_function

#: the name under which the functions find the row
ROW = "record"


class RealTime(Computation[T]):
    """A value that a function computes from the current time and declared data.

    It is computed when its data changes, like a :class:`.Custom` with ``concurrency="locked"``, and when it is due:
    ``system.recompute_due()`` computes all values whose next time has come. When the value was computed and when it is
    due are hidden columns; the latter has an index.

    :param callback: a pure function ``callback(now, deps)``; ``now`` is a :class:`~datetime.datetime` in UTC, ``deps``
        has the data by name, and the row as ``deps["record"]``.
    :param next_recompute_time: a pure function ``next_recompute_time(now, deps)`` that returns the time from which the
        value will be another one, later than ``now`` and with a time zone; ``None`` if the time does not change it any
        more. Without this function only changes of its data do.
    :param attribute_query: the attributes of the row that both functions read, as in ``data_deps`` of :class:`.Custom`.
    :param data_deps: further data, as for :class:`.Custom`.
    :raises ComputationProtocolError: if an argument is invalid.

    ::

        is_late: Mapped[bool] = computed(
            RealTime(
                lambda now, deps: now >= deps["record"].due_at,
                next_recompute_time=lambda now, deps: deps["record"].due_at if now < deps["record"].due_at else None,
                attribute_query=["due_at"],
            )
        )
    """

    _fields = ("callback", "next_recompute_time", "attribute_query", "data_deps")
    is_global = True
    is_evaluated = True
    way_to_change = "change the data that it is computed from"

    def __init__(
        self,
        callback: Callable[[datetime, Mapping[str, Any]], T],
        *,
        next_recompute_time: Callable[[datetime, Mapping[str, Any]], datetime | None] | None = None,
        attribute_query: AttributeQuery | None = None,
        data_deps: Mapping[str, Any] | None = None,
    ) -> None:
        for name, function in (("callback", callback), ("next_recompute_time", next_recompute_time)):
            if function is not None or name == "callback":
                require_function(function, f"RealTime: {name}")
                refuse_coroutine_function(function, f"RealTime: {name}")
        refuse_text(attribute_query, "RealTime: attribute_query")
        found = parse_dependencies(data_deps, "RealTime")
        if attribute_query is not None:
            if any(dependency.name == ROW for dependency in found):
                raise ComputationProtocolError(f"RealTime: {ROW!r} is the row itself; choose another key in data_deps")
            found = (DataDependency(ROW, "property", attribute_query=tuple(attribute_query)), *found)
        self.callback = callback
        self.next_recompute_time = next_recompute_time
        self.attribute_query = tuple(attribute_query) if attribute_query is not None else None
        self.data_deps = data_deps
        self.dependencies = found

    def references(self) -> References:
        return replace(super().references(), dependencies=self.dependencies)

    def meaning(self) -> dict[str, Any]:
        return {
            "callback": self.callback,
            "next_recompute_time": self.next_recompute_time,
            "data_deps": [dependency.meaning() for dependency in self.dependencies],
        }

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        last: Column[Any] = Column(AwareDateTime(), nullable=True)
        due: Column[Any] = Column(AwareDateTime(), nullable=True, index=True)
        return {"last": last, "next": due}
