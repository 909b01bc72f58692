"""Mutation events of a flush."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import CHAR, JSON, Column, Float, Integer, Numeric, Table, TypeDecorator
from sqlalchemy.orm import InstanceState, Mapper
from sqlalchemy.orm.attributes import instance_dict, instance_state
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from ...schema.class_criterion import discriminator_columns
from ..database.flush_row_values import UNKNOWN, stored_form
from ..database.polymorphic_rows import read_attributes
from ..database.session_connection import is_kept_with

if TYPE_CHECKING:
    from ..computations.event_delivery import Mutations
    from ..plan import Key, Source
    from ..propagation.propagation import Propagation
    from ..propagation.written_rows import WrittenRows

Row = dict[str, Any]

#: types that round, pad or convert values
_CHANGED_BY_STORING = (Numeric, Float, CHAR, TypeDecorator)


class FlushEvents:
    """Publishes the changes of a flush to the listener, with the values stored in the database."""

    def __init__(self, propagation: Propagation, mutations: Mutations, written: WrittenRows) -> None:
        self._propagation = propagation
        self._mutations = mutations
        self._written = written
        self._session = propagation.db.session
        self._plan = propagation.db.statements.plan
        #: the objects that the flush will insert, even if listeners expunge them meanwhile
        self.new: list[Any] = []

    def class_of(self, state: InstanceState[Any]) -> Mapper[Any]:
        """Return the class under which a row is read before and after the flush."""
        base = state.mapper.base_mapper
        if _changes_class(state.mapper, state.committed_state) and self._mutations.has_reactions(base):
            return base
        return state.mapper

    def source_to_tell(self, mapper: Mapper[Any]) -> Source | None:
        """Return the source of a class whose events are wanted, else ``None``."""
        table = mapper.base_mapper.local_table
        if not isinstance(table, Table) or not self._is_ours(mapper):
            return None
        if not is_kept_with(self._session, self._plan, mapper):
            return None  # writes to other databases are not followed
        return self._plan.sources.get(table) or self._propagation.db.statements.unwatched(table, mapper.base_mapper)

    def after(self, context: Any, *, trusts_memory: bool) -> None:
        """Publish the events of the flush.

        :param context: SQLAlchemy's ``UOWTransaction``.
        :param trusts_memory: whether new objects hold the written values.
        """
        self._written.tell_rekeyed()  # first: new rows may have the former keys of other rows
        # rows before those that refer to them, so that records come before their links
        inserted = sorted(self._inserted(context).items(), key=lambda item: self._plan.height(item[0].local_table))
        rows = [(m, self._created_rows(m, instances, trusts_memory=trusts_memory)) for m, instances in inserted]
        self._mutations.created_together(rows)
        self._written.tell()

    def _inserted(self, context: Any) -> dict[Mapper[Any], list[Any]]:
        found: dict[Mapper[Any], list[Any]] = {}
        for instance in self.new:
            state = instance_state(instance)
            if state in context.states and not any(context.states[state]):
                found.setdefault(state.mapper, []).append(instance)
        ours = {mapper: instances for mapper, instances in found.items() if self._is_ours(mapper)}
        if not self._written.is_empty:
            for mapper, instances in ours.items():
                ours[mapper] = [instance for instance in instances if not self._replaces(mapper, instance)]
        return {mapper: instances for mapper, instances in ours.items() if instances}

    def _replaces(self, mapper: Mapper[Any], instance: object) -> bool:
        """Whether an object has replaced a deleted one, so that the unit of work wrote an UPDATE."""
        source = self.source_to_tell(mapper)
        return source is not None and self._written.is_remembered(source, self._key(mapper, instance))

    @staticmethod
    def _key(mapper: Mapper[Any], instance: object) -> Key:
        return tuple(mapper.primary_key_from_instance(instance))

    def _is_ours(self, mapper: Mapper[Any]) -> bool:
        table = mapper.local_table
        return isinstance(table, Table) and table.metadata is self._plan.metadata and self._mutations.wanted(mapper)

    def _created_rows(self, mapper: Mapper[Any], instances: list[Any], *, trusts_memory: bool) -> list[Row]:
        rows = [_loaded(mapper, instance_dict(instance)) for instance in instances]
        if trusts_memory and all(_is_whole(mapper, row) for row in rows):
            return rows
        source = self.source_to_tell(mapper)
        if source is None:
            return rows
        keys = [self._key(mapper, instance) for instance in instances]
        stored = read_attributes(self._propagation.db, source, mapper, keys)
        return [stored[key] for key in keys if key in stored]


def _changes_class(mapper: Mapper[Any], changed: Mapping[str, Any]) -> bool:
    mapped = (column for column in discriminator_columns(mapper) if mapper.columns.contains_column(column))
    return any(mapper.get_property_by_column(column).key in changed for column in mapped)


def _loaded(mapper: Mapper[Any], values: Mapping[str, Any]) -> Row:
    return {prop.key: values[prop.key] for prop in mapper.column_attrs if prop.key in values}


def _is_whole(mapper: Mapper[Any], row: Row) -> bool:
    """Whether the loaded values of a new row are complete and equal to the stored ones."""
    for prop in mapper.column_attrs:
        column = prop.columns[0]
        if not isinstance(column, Column):
            continue
        if prop.key not in row or isinstance(row[prop.key], ClauseElement):
            return False
        if _may_be_changed(column.type) and stored_form(row[prop.key], column) is UNKNOWN:
            return False
    return True


def _may_be_changed(type_: TypeEngine[Any]) -> bool:
    """Whether the database may store a value other than Python's."""
    kinds = (type_, *type_._variant_mapping.values())
    if not all(type(kind).__module__.startswith("sqlalchemy.") for kind in kinds):
        return True
    alike = len(kinds) == 1 or any(all(isinstance(kind, family) for kind in kinds) for family in (Integer, JSON))
    return not alike or isinstance(type_, _CHANGED_BY_STORING)
