"""The mutation events of a flush."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Float, Numeric, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_dict, instance_state
from sqlalchemy.sql.elements import ClauseElement

from .classes import read_by_class
from .memory import identity_of
from .memory_rows import UNKNOWN, stored_form
from .same_row import read_attributes

if TYPE_CHECKING:
    from .listener import RowsByClass
    from .mutations import Mutations
    from .propagation import Propagation
    from .touched import Key

Row = dict[str, Any]


class FlushEvents:
    """Collects what a flush changes, for those who wait for it.

    Where a computation waits, events hold whole rows as the database has them; where only a dispatch collects its
    effects, they hold what memory has.
    """

    def __init__(self, propagation: Propagation, mutations: Mutations) -> None:
        self._propagation = propagation
        self._mutations = mutations
        self._session = propagation.session
        self._plan = propagation.statements.plan
        self._remembered: dict[Mapper[Any], list[tuple[Any, Row, bool]]] = {}
        self._stored: dict[Mapper[Any], tuple[list[Key], RowsByClass]] = {}

    def before(self) -> None:
        """Take the old rows; those that computations wait for are locked already."""
        keys: dict[Mapper[Any], list[Key]] = {}
        deleted = set(map(id, self._session.deleted))
        for instance, mapper in self._written():
            state = instance_state(instance)
            if _changes_class(mapper, state.committed_state) and self._mutations.has_reactions(mapper.base_mapper):
                keys.setdefault(mapper.base_mapper, []).append(identity_of(state))
            elif self._plan.reactions_to(mapper):
                keys.setdefault(mapper, []).append(identity_of(state))
            else:
                row = _loaded(mapper, {**state.dict, **state.committed_state})
                self._remembered.setdefault(mapper, []).append((instance, row, id(instance) in deleted))
        for mapper, listed in keys.items():
            self._stored[mapper] = listed, self._read_by_class(mapper, listed)

    def after(self) -> None:
        """Say what happened."""
        for mapper, instances in self._new().items():
            self._mutations.created(mapper, self._created_rows(mapper, instances))
        for mapper, (listed, old) in self._stored.items():
            self._mutations.changed(old, self._read_by_class(mapper, listed))
        for mapper, remembered in self._remembered.items():
            pairs = [(row, {**row, **_loaded(mapper, instance_dict(i))}) for i, row, gone in remembered if not gone]
            self._mutations.updated(mapper, pairs)
            self._mutations.deleted(mapper, [row for _, row, gone in remembered if gone])

    def _written(self) -> Iterator[tuple[Any, Mapper[Any]]]:
        for instance in (*self._session.dirty, *self._session.deleted):
            mapper = instance_state(instance).mapper
            if self._is_ours(mapper):
                yield instance, mapper

    def _new(self) -> dict[Mapper[Any], list[Any]]:
        found: dict[Mapper[Any], list[Any]] = {}
        for instance in self._session.new:
            mapper = instance_state(instance).mapper
            if self._is_ours(mapper):
                found.setdefault(mapper, []).append(instance)
        return found

    def _is_ours(self, mapper: Mapper[Any]) -> bool:
        table = mapper.local_table
        return isinstance(table, Table) and table.metadata is self._plan.metadata and self._mutations.wanted(mapper)

    def _created_rows(self, mapper: Mapper[Any], instances: list[Any]) -> list[Row]:
        rows = [_loaded(mapper, instance_dict(instance)) for instance in instances]
        if not self._plan.reactions_to(mapper) or all(_is_whole(mapper, row) for row in rows):
            return rows
        keys = [tuple(mapper.primary_key_from_instance(instance)) for instance in instances]
        stored = self._read(mapper, keys)
        return [stored[key] for key in keys if key in stored]

    def _read(self, mapper: Mapper[Any], keys: list[Key]) -> dict[Key, Row]:
        source = self._plan.sources[mapper.local_table]  # type: ignore[index]  # reactions stand on tables
        return read_attributes(self._propagation, source, mapper, keys)

    def _read_by_class(self, mapper: Mapper[Any], keys: list[Key]) -> RowsByClass:
        source = self._plan.sources[mapper.local_table]  # type: ignore[index]
        return read_by_class(self._propagation, source, mapper, keys)


def _changes_class(mapper: Mapper[Any], changed: Mapping[str, Any]) -> bool:
    discriminator = mapper.polymorphic_on
    if not isinstance(discriminator, Column) or discriminator not in mapper.columns.values():
        return False
    return mapper.get_property_by_column(discriminator).key in changed


def _loaded(mapper: Mapper[Any], values: Mapping[str, Any]) -> Row:
    return {prop.key: values[prop.key] for prop in mapper.column_attrs if prop.key in values}


def _is_whole(mapper: Mapper[Any], row: Row) -> bool:
    """Whether memory has all of a new row, as it is stored."""
    for prop in mapper.column_attrs:
        column = prop.columns[0]
        if not isinstance(column, Column):
            continue
        if prop.key not in row or isinstance(row[prop.key], ClauseElement):
            return False
        if isinstance(column.type, (Numeric, Float)) and stored_form(row[prop.key], column) is UNKNOWN:
            return False
    return True
