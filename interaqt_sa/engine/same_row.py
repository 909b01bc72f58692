"""Values that a function computes from other columns of their row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Double, Float, Integer, Numeric, String, Uuid, inspect
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_dict

from ..definitions.events import RecordView
from ..definitions.same_row import SameRow
from ..schema.records import stored_attributes
from .plan import ComputedValue, Source, Watch
from .propagation import Propagation
from .python_parts import call
from .stored_values import store_values
from .touched import Key

_MISSING = object()


class _Unknown(Exception):
    """A function read an attribute whose stored value memory cannot tell."""


class SameRowValues:
    """The same-row values of one flush.

    Most are computed before the flush, so that the unit of work writes them along. Where memory cannot tell what the
    database will store (rounding, defaults, SQL expressions) they are computed after it, from the row itself.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        # by id: classes may define equality, and objects that are equal are different rows all the same
        self._later: dict[Source, dict[Mapper[Any], dict[int, Any]]] = {}

    def before_flush(self, new: Iterable[tuple[Any, Watch]], changed: Iterable[tuple[Any, Watch]]) -> None:
        """Assign the values that can be told from memory."""
        for instance, watch in new:
            if watch.same_row and not self._assign(instance, watch, _NewRow(instance, watch)):
                self._defer(instance, watch)
        olds = self._stored_rows([(i, w) for i, w in changed if w.same_row])
        for instance, watch in changed:
            if watch.same_row:
                stored = olds.get((watch.mapper, inspect(instance).identity))
                if stored is None or not self._assign(instance, watch, _ChangedRow(instance, watch, stored)):
                    self._defer(instance, watch)

    def after_flush(self) -> None:
        """Compute the rest from the rows as they are stored."""
        for source, by_mapper in self._later.items():
            for mapper, instances in by_mapper.items():
                keys = [tuple(mapper.primary_key_from_instance(i)) for i in instances.values()]
                refresh_same_row(self._propagation, source, keys)
        self._later.clear()

    def _defer(self, instance: Any, watch: Watch) -> None:
        assert watch.source is not None
        self._later.setdefault(watch.source, {}).setdefault(watch.mapper, {})[id(instance)] = instance

    def _stored_rows(self, changed: Sequence[tuple[Any, Watch]]) -> dict[tuple[Mapper[Any], Key], Mapping[str, Any]]:
        """Read the locked rows as they are before the flush: memory may be stale."""
        by_mapper: dict[Mapper[Any], tuple[Watch, list[Key]]] = {}
        for instance, watch in changed:
            by_mapper.setdefault(watch.mapper, (watch, []))[1].append(inspect(instance).identity)
        found: dict[tuple[Mapper[Any], Key], Mapping[str, Any]] = {}
        for mapper, (watch, keys) in by_mapper.items():
            assert watch.source is not None
            for key, row in read_attributes(self._propagation, watch.source, mapper, keys).items():
                found[mapper, key] = row
        return found

    @staticmethod
    def _assign(instance: Any, watch: Watch, row: _Row) -> bool:
        ordered = _in_order(watch.same_row)
        for value in ordered:
            dict.pop(row, value.attribute, None)  # the old one, which none may read
        for value in ordered:
            assert isinstance(value.computation, SameRow)
            try:
                answer = call(value.computation.function, row, value.record, value.attribute)
            except Exception as error:
                if _caused_by_unknown(error):
                    return False
                raise
            if not is_stored_as_is(answer, value.column):
                return False
            row[value.attribute] = answer
            loaded = instance_dict(instance)
            if loaded.get(value.attribute, _MISSING) != answer or inspect(instance).key is None:
                setattr(instance, value.attribute, answer)
        return True


def refresh_same_row(propagation: Propagation, source: Source, keys: Sequence[Key]) -> Mapping[Key, Mapping[str, Any]]:
    """Compute the same-row values of stored rows, and write those that differ; return what is stored of these now.

    What the rows contribute must have been read before: see :meth:`.Propagation.before`.
    """
    written: dict[Key, dict[str, Any]] = {}
    by_mapper: dict[Mapper[Any], list[ComputedValue]] = {}
    for value in source.same_row:
        by_mapper.setdefault(value.mapper, []).append(value)
    for mapper, values in by_mapper.items():
        ordered = _in_order(values)
        changes: list[tuple[Any, ...]] = []
        for key, row in read_attributes(propagation, source, mapper, keys).items():
            view = _StoredRow(row, ordered)
            for value in ordered:
                assert isinstance(value.computation, SameRow)
                view[value.attribute] = call(value.computation.function, view, value.record, value.attribute)
            if any(view[value.attribute] != row[value.attribute] for value in ordered):
                changes.append((*key, *(view[value.attribute] for value in ordered)))
        if changes:
            for key, fresh in _write(propagation, source, mapper, ordered, changes):
                written.setdefault(key, {}).update(fresh)
    return written


def _write(
    propagation: Propagation, source: Source, mapper: Mapper[Any], values: Sequence[ComputedValue], rows: Sequence[Any]
) -> Iterator[tuple[Key, dict[str, Any]]]:
    width = len(source.key)
    for table in dict.fromkeys(value.table for value in values):
        mine = [v for v in values if v.table is table]
        picked = [(*row[:width], *(row[width + values.index(v)] for v in mine)) for row in rows]
        columns = [value.column for value in mine]
        for key, stored in store_values(propagation, source, table, columns, picked, fires_onupdate=False):
            propagation.memory.refresh(mine, key, stored)
            yield key, dict(zip((v.attribute for v in mine), stored, strict=True))


def fresh_same_row(value: ComputedValue, source: Source, row: Mapping[str, Any]) -> Any:
    """Return what the function of ``value`` gives for the stored attributes of a row."""
    assert isinstance(value.computation, SameRow)
    ordered = _in_order(other for other in source.same_row if other.mapper is value.mapper)
    view = _StoredRow(row, ordered[ordered.index(value) :])
    return call(value.computation.function, view, value.record, value.attribute)


def read_attributes(
    propagation: Propagation, source: Source, mapper: Mapper[Any], keys: Iterable[Key]
) -> dict[Key, dict[str, Any]]:
    """Return the stored column attributes of rows."""
    attributes = stored_attributes(mapper)
    statement = propagation.statements.read_rows(source, [column for _, column in attributes], mapper)
    parameters = propagation.dialect.pack("ids", source.key_shape, list(keys))
    width = len(source.key)
    rows = propagation.execute(source, statement, parameters)
    names = [name for name, _ in attributes]
    return {tuple(row[:width]): dict(zip(names, row[width:], strict=True)) for row in rows}


def _in_order(values: Iterable[ComputedValue]) -> list[ComputedValue]:
    """Return values in the order of their columns, so that one may read those declared before it."""
    ordered = list(values)
    return sorted(ordered, key=lambda v: list(v.mapper.column_attrs.keys()).index(v.attribute))


class _StoredRow(RecordView):
    """A row as it is stored, without the values that are still to be computed."""

    __slots__ = ("__later",)

    def __init__(self, row: Mapping[str, Any], later: Iterable[ComputedValue]) -> None:
        self.__later = {value.attribute for value in later}
        super().__init__((name, value) for name, value in row.items() if name not in self.__later)

    def __missing__(self, name: str) -> Any:
        if name not in self.__later:
            raise KeyError(name)
        raise AttributeError(
            f"{name!r} is computed too; a function sees only the computed columns that are declared before its own"
        )

    def __getattr__(self, name: str) -> Any:
        return self[name] if name in self.__later else super().__getattr__(name)


class _Row(RecordView):
    """A row as memory knows it; reading what memory does not know raises."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        if not dict.__contains__(self, name):
            raise _Unknown(name)
        return dict.__getitem__(self, name)

    def __getattr__(self, name: str) -> Any:
        raise _Unknown(name)


class _NewRow(_Row):
    __slots__ = ()

    def __init__(self, instance: Any, watch: Watch) -> None:
        super().__init__()
        loaded = instance_dict(instance)
        for prop in watch.mapper.column_attrs:
            if prop.key not in loaded:
                continue
            value, column = loaded[prop.key], prop.columns[0]
            if is_stored_as_is(value, column) and not (value is None and _has_default(column)):
                dict.__setitem__(self, prop.key, value)


class _ChangedRow(_Row):
    __slots__ = ()

    def __init__(self, instance: Any, watch: Watch, stored: Mapping[str, Any]) -> None:
        super().__init__(stored)
        state = inspect(instance)
        moving = {c for r in watch.mapper.relationships if r.key in state.committed_state for c in r.local_columns}
        for prop in watch.mapper.column_attrs:
            column = prop.columns[0]
            if getattr(column, "onupdate", None) is not None or column in moving:
                dict.pop(self, prop.key, None)
            elif prop.key in state.committed_state:
                value = state.dict.get(prop.key, _MISSING)
                if value is not _MISSING and is_stored_as_is(value, column):
                    dict.__setitem__(self, prop.key, value)
                else:
                    dict.pop(self, prop.key, None)


def _has_default(column: Any) -> bool:
    """Whether a new row gets another value than None where None is assigned."""
    defaults = (getattr(column, "default", None), getattr(column, "server_default", None))
    return any(default is not None for default in defaults) and not column.type.should_evaluate_none


def _caused_by_unknown(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, _Unknown):
            return True
        error = error.__cause__
    return False


def is_stored_as_is(value: Any, column: Any) -> bool:
    """Whether the database will store just what Python holds."""
    kind = column.type
    if value is None:
        return bool(column.nullable)
    match value:
        case bool():
            return isinstance(kind, Boolean)
        case int():
            return isinstance(kind, Integer)
        case float():
            return isinstance(kind, (Double,)) or (isinstance(kind, Float) and kind.precision in (None, 53))
        case Decimal():
            if not isinstance(kind, Numeric) or isinstance(kind, Float) or not value.is_finite():
                return False
            exponent = value.as_tuple().exponent
            return kind.scale is None or (isinstance(exponent, int) and -exponent <= kind.scale)
        case str():
            return type(kind).__name__ in (
                "String",
                "Text",
                "Unicode",
                "UnicodeText",
                "VARCHAR",
                "TEXT",
            ) and isinstance(kind, String)
        case UUID():
            return isinstance(kind, Uuid)
        case datetime() | date() | time():
            return False
        case _:
            return False
