"""Predict the rows that a flush writes, where this is certain without reading them back.

The old row is read from the database, under the lock. The changes of the unit of work are known from the object, unless
the database may store other values, or code of the application takes part in the flush.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column
from sqlalchemy.orm import InstanceState, Mapper

from ..database.flush_row_values import UNKNOWN, changes_by_itself, stored_form
from ..database.loaded_objects import changed_attributes, identity_of
from ..database.triggers import has_triggers

if TYPE_CHECKING:
    from ..plan import Source
    from ..propagation.propagation import Propagation
    from ..propagation.written_rows import WrittenRows


class ForetoldRows:
    """The objects of one flush that will be updated or deleted."""

    def __init__(self, propagation: Propagation, written: WrittenRows) -> None:
        self._propagation = propagation
        self._statements = propagation.db.statements
        self._written = written
        self._updated: list[tuple[Source, InstanceState[Any], set[str]]] = []
        self._deleted: list[tuple[Source, InstanceState[Any]]] = []

    def update(self, source: Source, state: InstanceState[Any], changed: set[str]) -> None:
        """Record an object whose attributes ``changed`` will be written."""
        self._updated.append((source, state, changed))

    def delete(self, source: Source, state: InstanceState[Any]) -> None:
        """Record an object whose row will be deleted."""
        self._deleted.append((source, state))

    def tell(self, flush_context: Any) -> None:
        """Pass on the new images of the rows that can be predicted.

        :param flush_context: SQLAlchemy's ``UOWTransaction``, with the state of each written object.
        """
        states: Mapping[InstanceState[Any], tuple[bool, bool]] = flush_context.states
        for source, state, changed in self._updated:
            old = self._written.remembered(source, state.mapper, identity_of(state))
            # the second item is true if nothing was written for the object itself
            if old is not None and states.get(state) == (False, False) and self._is_plain(source, state.mapper):
                new = _written_row(state, changed, old, self._columns(state.mapper))
                if new is not None:
                    self._written.foretell(source, state.mapper, identity_of(state), new)
        for source, state in self._deleted:
            key = identity_of(state)
            old = self._written.remembered(source, state.mapper, key)
            if old is not None and states.get(state) == (True, False) and self._is_plain(source, state.mapper):
                self._written.foretell(source, state.mapper, key, None)

    def _columns(self, mapper: Mapper[Any]) -> Mapping[str, Column[Any]]:
        return self._statements.stored(mapper)

    def _is_plain(self, source: Source, mapper: Mapper[Any]) -> bool:
        plain = self._statements.cached(("plain rows", source, mapper), lambda: self._has_plain_rows(source, mapper))
        return plain and not has_triggers(self._propagation.db, source, mapper)

    def _has_plain_rows(self, source: Source, mapper: Mapper[Any]) -> bool:
        """Whether, according to the mapping, only assignments to attributes change a row."""
        plan = self._statements.plan
        return (
            plan.sources.get(source.table) is source  # statements on other tables are not watched
            and not source.same_row
            and mapper.base_mapper is mapper
            and mapper.polymorphic_on is None
            and [*mapper.tables] == [source.table]
            and mapper.version_id_col is None
            and not plan.other_classes(mapper)
            and not any(changes_by_itself(c) or c.computed is not None or c.system for c in source.table.columns)
        )


def _written_row(
    state: InstanceState[Any], expected: set[str], old: Mapping[str, Any], columns: Mapping[str, Column[Any]]
) -> dict[str, Any] | None:
    """Return the new image of an updated row; ``None`` if it is known only to the database.

    :param expected: the attributes that were changed before the flush.
    """
    changed = changed_attributes(state)
    if not expected <= changed or not state.expired_attributes.isdisjoint(columns):
        return None  # SQLAlchemy expires attributes that it has written as SQL expressions
    row = dict(old)
    for name in changed & columns.keys():
        row[name] = stored_form(state.dict.get(name, UNKNOWN), columns[name])
        if row[name] is UNKNOWN:
            return None
    return row
