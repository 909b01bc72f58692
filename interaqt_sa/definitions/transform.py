"""Rows derived from the rows of another record, or from events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Column, Integer, String

from ..errors import ComputationProtocolError
from .computation import Computation
from .events import Trigger
from .references import References
from .type_aliases import AttributeQuery, RecordRef
from .validation import refuse_coroutine_function, refuse_text, require_function


class Transform(Computation[Any]):
    """Derive rows from the rows of another record, or from events.

    Pass it to ``Entity(computation=…)`` or ``Relation(computation=…)``, or set it as ``__computation__`` of a
    declarative class. Give either ``record`` or ``event_deps``.

    :param record: the source record. Each of its rows yields the rows that ``callback(record)`` returns: a mapping, a
        list of mappings and ``None``, or ``None``. Derived rows follow updates and deletes of their source row.
    :param callback: a pure function. With ``record`` it takes the source's column attributes (or those in
        ``attribute_query``), with ``event_deps`` the :class:`.MutationEvent`.
    :param event_deps: maps names to :class:`.Trigger` values; each matching event yields rows once, which are kept.
    :param attribute_query: with ``record``: the column attributes that ``callback`` reads, such as ``customer_id``.
    :raises ComputationProtocolError: if neither or both of ``record`` and ``event_deps`` are given, or ``callback`` is
        missing or not a plain function.

    ::

        class Shipment(Base):
            __computation__ = Transform(ShipOrder, lambda e: {"order_id": e.order_id})
    """

    _fields = ("record", "callback", "event_deps", "attribute_query")
    gives_value = False

    def __init__(
        self,
        record: RecordRef | None = None,
        callback: Callable[[Any], Any] | None = None,
        *,
        event_deps: Mapping[str, Trigger | Mapping[str, Any]] | None = None,
        attribute_query: AttributeQuery | None = None,
    ) -> None:
        if (record is None) == (event_deps is None):
            raise ComputationProtocolError("Transform takes either a record or event_deps")
        if callback is None:
            raise ComputationProtocolError("Transform needs a callback that returns the derived rows")
        require_function(callback, "Transform: callback")
        refuse_coroutine_function(callback, "Transform")
        self.record = record
        self.callback = callback
        self.event_deps = (
            MappingProxyType({name: Trigger.of(dep) for name, dep in event_deps.items()}) if event_deps else None
        )
        if event_deps is not None and not event_deps:
            raise ComputationProtocolError("Transform(event_deps={}) would never run; name at least one trigger")
        refuse_text(attribute_query, "Transform: attribute_query")
        self.attribute_query = tuple(attribute_query) if attribute_query is not None else None

    def references(self) -> References:
        return References(
            triggers=tuple((self.event_deps or {}).values()),
            origin=self.record,
            origin_attributes=tuple(self.attribute_query or ()),
        )

    def hidden_row_columns(self) -> dict[str, Column[Any]]:
        if self.record is None:
            return {}
        return {"source": Column(String, nullable=True), "index": Column(Integer, nullable=True)}
