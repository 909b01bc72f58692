"""Run functions that compute a value from other columns of the same row."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_dict, set_committed_value

from ...definitions.same_row import SameRow
from ...errors import ComputationError
from ..plan import ComputedValue, Key, Source, Watch
from .database import Database
from .flush_row_values import UNKNOWN, FunctionRow, UnknownValueError, changed_row, new_row, stored_form, stored_row
from .polymorphic_rows import read_attributes, read_instances
from .python_contributions import call
from .triggers import has_triggers
from .update_by_key import store_values
from .value_round_trip import as_stored, same_value


class SameRowValues:
    """The same-row values of one flush.

    Most are computed before the flush, so that the unit of work writes them too. If the values that the database will
    store are not known in memory (rounding, defaults, SQL expressions), they are computed after it, from the stored
    row.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        # by id: classes may define equality, but equal objects are different rows
        self._later: dict[Source, dict[Mapper[Any], dict[int, Any]]] = {}
        #: assigned attributes, with their previous values
        self._assigned: list[tuple[Any, str, Any]] = []

    def before_flush(
        self, new: Iterable[tuple[Any, Watch]], changed: Iterable[tuple[Any, Watch]], carried: Container[int]
    ) -> None:
        """Assign the values that can be computed from memory.

        :param carried: ids of objects that get foreign keys only during the flush.
        """
        for instance, watch in new:
            if watch.same_row:
                may_change = id(instance) in carried or bool(watch.mapper.dispatch.before_insert)
                self._tell(instance, watch, new_row(instance, watch), may_change=may_change)
        olds = self._stored_rows([(i, w) for i, w in changed if w.same_row])
        for instance, watch in changed:
            if not watch.same_row:
                continue
            stored = olds.get((watch.mapper, inspect(instance).identity))
            if stored is None:
                self._defer(instance, watch)
            else:
                may_change = id(instance) in carried or bool(watch.mapper.dispatch.before_update)
                self._tell(instance, watch, changed_row(instance, watch, stored), may_change=may_change)

    def _tell(self, instance: Any, watch: Watch, row: FunctionRow, *, may_change: bool) -> None:
        """Assign values computed from memory; uncertain ones are computed again from the stored row.

        :param may_change: whether code of the application may still change the row. Code that reads the object
            meanwhile, such as a version table, gets the values that it will have if nothing else changes.
        """
        assert watch.source is not None
        may_change = may_change or has_triggers(self._db, watch.source, watch.mapper)
        try:
            is_told = self._assign(instance, watch, row)
        except ComputationError:
            if not may_change:
                raise
            is_told = False
        if may_change or not is_told:
            self._defer(instance, watch)

    def take_back(self) -> None:
        """Undo the assignments, because the flush fails and the next one would treat them as the application's."""
        for instance, name, before in reversed(self._assigned):
            state, loaded = inspect(instance), instance_dict(instance)
            if before is UNKNOWN:
                loaded.pop(name, None)
                state.committed_state.pop(name, None)
            else:
                set_committed_value(instance, name, before)
        self._assigned.clear()

    def after_flush(self, unsure: Iterable[tuple[Any, Watch]]) -> None:
        """Compute the remaining values from the stored rows.

        :param unsure: objects whose loaded values may differ from the written ones.
        """
        for instance, watch in unsure:
            if watch.same_row:
                self._defer(instance, watch)
        for source, by_mapper in self._later.items():
            for mapper, instances in by_mapper.items():
                keys = [tuple(mapper.primary_key_from_instance(i)) for i in instances.values()]
                refresh_same_row(self._db, source, keys)
        self._later.clear()

    def _defer(self, instance: Any, watch: Watch) -> None:
        assert watch.source is not None
        self._later.setdefault(watch.source, {}).setdefault(watch.mapper, {})[id(instance)] = instance

    def _stored_rows(self, changed: Sequence[tuple[Any, Watch]]) -> dict[tuple[Mapper[Any], Key], Mapping[str, Any]]:
        """Read the locked rows before the flush, because loaded values may be stale."""
        by_mapper: dict[Mapper[Any], tuple[Watch, list[Key]]] = {}
        for instance, watch in changed:
            by_mapper.setdefault(watch.mapper, (watch, []))[1].append(inspect(instance).identity)
        found: dict[tuple[Mapper[Any], Key], Mapping[str, Any]] = {}
        for mapper, (watch, keys) in by_mapper.items():
            assert watch.source is not None
            for key, row in read_attributes(self._db, watch.source, mapper, keys).items():
                found[mapper, key] = row
        return found

    def _assign(self, instance: Any, watch: Watch, row: FunctionRow) -> bool:
        """Assign the values that can be computed from memory; return whether these are all."""
        is_told = True
        for value in _in_order(watch.same_row):
            assert isinstance(value.computation, SameRow)
            try:
                answer = call(value.computation.function, row, value.record, value.attribute)
            except UnknownValueError:
                return False
            stored = stored_form(answer, value.column)
            if stored is UNKNOWN:
                return False
            dict.__setitem__(row, value.attribute, stored)
            loaded = instance_dict(instance)
            before = loaded.get(value.attribute, UNKNOWN)
            if not same_value(before, stored) or inspect(instance).key is None:
                self._assigned.append((instance, value.attribute, before))
                setattr(instance, value.attribute, stored)
                # a validator of the application may have changed the value
                is_told = is_told and same_value(instance_dict(instance).get(value.attribute, UNKNOWN), stored)
        return is_told


def refresh_same_row(db: Database, source: Source, keys: Sequence[Key]) -> Mapping[Key, Mapping[str, Any]]:
    """Compute the same-row values of stored rows, and write those that differ; return the written values by key.

    The old contributions of the rows must have been read before: see :meth:`.Propagation.before`.
    """
    written: dict[Key, dict[str, Any]] = {}
    by_mapper: dict[Mapper[Any], list[ComputedValue]] = {}
    for value in source.same_row:
        by_mapper.setdefault(value.mapper, []).append(value)
    for mapper, values in by_mapper.items():
        ordered = _in_order(values)
        rows = read_instances(db, source, mapper, keys)
        views = {key: stored_row(mapper, row, (v.attribute for v in ordered)) for key, row in rows.items()}
        for value in ordered:
            _compute(db, source, value, views, is_read=value is not ordered[-1])
        changes = [
            (*key, *(view[value.attribute] for value in ordered))
            for key, view in views.items()
            if not all(same_value(view[value.attribute], rows[key][value.attribute]) for value in ordered)
        ]
        if changes:
            for key, fresh in _write(db, source, mapper, ordered, changes):
                written.setdefault(key, {}).update(fresh)
    return written


def _compute(
    db: Database, source: Source, value: ComputedValue, views: Mapping[Key, FunctionRow], *, is_read: bool
) -> None:
    """Compute one value of each row into its view.

    :param is_read: whether functions of other values may read it, in its stored form.
    :raises ComputationError: with the key of a row whose value cannot be computed or stored.
    """
    assert isinstance(value.computation, SameRow)
    rounded: list[tuple[FunctionRow, Any]] = []
    for key, view in views.items():
        try:
            answer = call(value.computation.function, view, value.record, value.attribute)
        except ComputationError as error:
            error.add_note(f"It was called for {_row(source, key)}")
            raise
        if answer is None and refuses_none(value.column):
            raise ComputationError(
                f"{value.name}: the function returned None for {_row(source, key)}, but the column is NOT NULL. "
                "Return a value, or declare the column as nullable",
                record=value.record,
                property=value.attribute,
            )
        stored = stored_form(answer, value.column)
        view[value.attribute] = answer if stored is UNKNOWN else stored
        if is_read and stored is UNKNOWN:
            rounded.append((view, answer))
    found = as_stored(db, source, [value.column], [(answer,) for _, answer in rounded])
    for (view, _), (stored,) in zip(rounded, found, strict=True):
        view[value.attribute] = stored


def refuses_none(column: Column[Any]) -> bool:
    """Whether None cannot be stored; types of the application, and JSON, may convert it."""
    kind = column.type
    is_converted = kind.should_evaluate_none or not type(kind).__module__.startswith("sqlalchemy.")
    return not column.nullable and not is_converted


def _row(source: Source, key: Key) -> str:
    named = ", ".join(f"{column.name}={part!r}" for column, part in zip(source.key, key, strict=True))
    return f"the row of {source.table.name} with {named}"


def _write(
    db: Database, source: Source, mapper: Mapper[Any], values: Sequence[ComputedValue], rows: Sequence[Any]
) -> Iterator[tuple[Key, dict[str, Any]]]:
    width = len(source.key)
    for table in dict.fromkeys(value.table for value in values):
        mine = [v for v in values if v.table is table]
        picked = [(*row[:width], *(row[width + values.index(v)] for v in mine)) for row in rows]
        columns = [value.column for value in mine]
        for key, stored in store_values(db, source, table, columns, picked, fires_onupdate=False):
            db.memory.refresh(mine, key, stored)
            yield key, dict(zip((v.attribute for v in mine), stored, strict=True))


def fresh_same_row(value: ComputedValue, source: Source, row: Mapping[str, Any]) -> Any:
    """Return the result of the function of ``value`` for the stored attributes of a row."""
    assert isinstance(value.computation, SameRow)
    ordered = _in_order(other for other in source.same_row if other.mapper is value.mapper)
    later = ordered[ordered.index(value) :]
    view = stored_row(value.mapper, row, (other.attribute for other in later))
    return call(value.computation.function, view, value.record, value.attribute)


def _in_order(values: Iterable[ComputedValue]) -> list[ComputedValue]:
    """Return values in the order of their columns, so that one may read those declared before it."""
    ordered = list(values)
    return sorted(ordered, key=lambda v: list(v.mapper.column_attrs.keys()).index(v.attribute))
