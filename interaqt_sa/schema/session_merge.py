"""``Session.merge()`` of objects with stale computed values."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import ColumnProperty, MappedSQLExpression, Mapper

from ..definitions.computation import computation_of


class _KeptByMerge:
    """Mixin for the properties of computed columns, which a merge does not copy.

    The loaded value of the source object may be stale, and is not an assignment. An assigned value is merged like any
    other, and refused at flush.
    """

    __slots__ = ()
    key: str

    def merge(
        self,
        session: Any,
        source_state: Any,
        source_dict: Any,
        dest_state: Any,
        dest_dict: Any,
        load: bool,
        _recursive: Any,
        _resolve_conflict_map: Any,
    ) -> None:
        assigned = source_state.key is None or self.key in source_state.committed_state
        if assigned or not load:
            super().merge(  # type: ignore[misc]
                session, source_state, source_dict, dest_state, dest_dict, load, _recursive, _resolve_conflict_map
            )


class ComputedProperty(_KeptByMerge, ColumnProperty[Any]):
    """The property of a computed ``mapped_column()``."""

    __slots__ = ()
    inherit_cache = True


class ComputedSQLExpression(_KeptByMerge, MappedSQLExpression[Any]):
    """The property of a computed column in ``column_property()`` or ``deferred()``."""

    __slots__ = ()
    inherit_cache = True


_KEPT: dict[type[Any], type[Any]] = {ColumnProperty: ComputedProperty, MappedSQLExpression: ComputedSQLExpression}


@event.listens_for(Mapper, "after_mapper_constructed")
def _protect_computed_properties(mapper: Mapper[Any], cls: type[Any]) -> None:
    for column in mapper.columns:
        if computation_of(column) is not None:
            prop = mapper.get_property_by_column(column)
            prop.__class__ = _KEPT.get(type(prop), type(prop))
