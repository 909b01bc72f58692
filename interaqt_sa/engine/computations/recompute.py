"""Full recomputation, used by check, repair and back-fill."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    Update,
    Uuid,
    and_,
    bindparam,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from ...dialects import Lock
from ...dialects.base import named
from ..database.pending_deltas import Touched
from ..database.polymorphic_rows import read_instances
from ..database.python_contributions import evaluate_members
from ..database.same_row_functions import fresh_same_row
from ..database.value_round_trip import as_stored, same_value
from ..plan import ComputedValue, Edge, Host, Key, Source
from ..plan.column_replacement import labelled
from ..propagation.propagation import Propagation
from ..propagation.write_bracket import Changed, NamedRows, Write, WriteBracket
from ..sql.aggregate_updates import HostStatements
from ..sql.ranked_members import is_ranking, leading, ranked_members, selection_of
from .evaluated_values import fresh_values, store_evaluated
from .overflow import refuse_overflow

_ZERO: ColumnElement[Any] = literal_column("0")


@dataclass(frozen=True)
class Fresh:
    """One row with its stored and its recomputed values."""

    key: Key
    stored: tuple[Any, ...]
    expected: tuple[Any, ...]


def next_keys(
    propagation: Propagation,
    source: Source,
    columns: Sequence[Column[Any]],
    after: Key | None,
    limit: int,
    lock: bool,
    bounds: Sequence[ColumnElement[bool]] = (),
) -> list[Key]:
    """Return up to ``limit`` primary keys after ``after``, in order; with ``lock`` their rows are locked.

    :param bounds: criteria that the keys fulfil.
    """
    statement = select(*columns).where(*bounds).order_by(*columns).limit(limit)
    if after is not None:
        last = [literal(value, column.type) for value, column in zip(after, columns, strict=True)]
        left, right = (columns[0], last[0]) if len(columns) == 1 else (tuple_(*columns), tuple_(*last))
        statement = statement.where(left > right)
    if lock:
        statement = propagation.db.dialect.lock(statement, Lock.NO_KEY_UPDATE, columns[0].table)
    return [tuple(row) for row in propagation.db.execute(source, statement, {})]


class Recompute:
    """Recomputation of some aggregates of one host table.

    :param whole: whether to include all hosts, regardless of the given keys.
    """

    def __init__(
        self, propagation: Propagation, host: Host, values: Sequence[ComputedValue], *, whole: bool = False
    ) -> None:
        self._propagation = propagation
        self._whole = whole
        self._statements = propagation.db.statements
        self._host_statements = HostStatements.of(self._statements)
        self._dialect = propagation.db.dialect
        self._host = host
        self._values = tuple(values)
        self._edges = [e for e in host.edges if any(part.value in self._values for part in e.parts)]

    def read(self, keys: Sequence[Key]) -> Iterator[Fresh]:
        """Yield the stored and recomputed values of the rows with ``keys``."""
        stored = [value.column for value in self._values]
        running = self._running()
        rows, parameters = self._python_rows(keys)

        def make() -> Select[Any]:
            joined, states, results = self._fresh(rows is not None)
            # hidden columns are read with the engine's number types, however the database returns decimals
            added = {c for value in self._values if value.is_additive for c in value.running}
            held = [type_coerce(c, self._dialect.number_type(c)) if c in added else c for c in running]
            columns = [*self._host.key, *stored, *held, *results, *(states[c] for c in running)]
            statement = select(*labelled(columns)).select_from(joined)
            return statement.where(self._dialect.contains(self._host.key, "ids", self._shape(self._host.key)))

        statement = self._statements.cached(("recompute", self._host, self._values, rows is not None), make)
        width, count = len(self._host.key), len(stored) + len(running)
        for row in self._propagation.db.execute(self._host.source, statement, parameters):
            yield Fresh(tuple(row[:width]), tuple(row[width : width + count]), tuple(row[width + count :]))

    def write(self, keys: Sequence[Key]) -> None:
        """Store recomputed values in rows that are locked already."""
        rows, parameters = self._python_rows(keys)

        def make() -> Any:
            statement = self._update(python=rows is not None)
            return statement.returning(*self._host.key, *(value.column for value in self._values))

        statement = self._statements.cached(("store fresh", self._host, self._values, rows is not None), make)
        width = len(self._host.key)
        for row in self._propagation.db.execute(self._host.source, statement, parameters):
            key, stored = tuple(row[:width]), tuple(row[width:])
            if not self._dialect.refuses_overflow:
                for value, number in zip(self._values, stored, strict=True):
                    refuse_overflow(value, number, key)
            self._propagation.db.memory.refresh(self._values, key, stored)

    def whole_update(self) -> Update | None:
        """Return one statement without key parameters that stores all values; ``None`` if it requires Python."""
        return None if any(edge.python for edge in self._edges) else self._update(python=False)

    def _update(self, *, python: bool) -> Update:
        joined, states, results = self._fresh(python)
        running = self._running()
        fresh = select(*labelled([*self._host.key, *results, *(states[c] for c in running)])).select_from(joined)
        if not self._whole:
            fresh = fresh.where(self._dialect.contains(self._host.key, "ids", self._shape(self._host.key)))
        found = fresh.subquery("fresh")
        width = len(self._host.key)
        targets = [*(value.column for value in self._values), *running]
        stored: dict[str, Any] = {c.key: c for c in self._host.table.columns if c.onupdate is not None}
        stored |= {c.key: found.c[f"c{width + i}"] for i, c in enumerate(targets)}
        return (
            update(self._host.table)
            .values(stored)
            .where(*(c == found.c[f"c{i}"] for i, c in enumerate(self._host.key)))
        )

    def _running(self) -> list[Column[Any]]:
        own = {value.column for value in self._values}
        return [c for value in self._values for c in value.running if c not in own]

    def _shape(self, key: Sequence[Any]) -> Any:
        return self._host_statements.host_shape(key)

    def _fresh(
        self, python: bool
    ) -> tuple[FromClause, dict[Column[Any], ColumnElement[Any]], list[ColumnElement[Any]]]:
        """Return hosts joined with the sums of their members, the running columns, and the values over them."""
        host = self._host
        joined: FromClause = host.table
        states: dict[Column[Any], ColumnElement[Any]] = {}
        added = [edge for edge in self._edges if edge.is_additive]
        for n, key in enumerate(dict.fromkeys(e.host_key for e in added)):
            sums = self._sums(key, [e for e in added if e.host_key == key], n, python)
            on = [c == sums.c[f"k{i}"] for i, c in enumerate(key)]
            joined = joined.outerjoin(sums, and_(*on))
            for edge in added:
                if edge.host_key == key:
                    for part in edge.parts:
                        for position in part.positions:
                            column = host.vector[position]
                            total = func.coalesce(sums.c[f"d{position}"], _ZERO)
                            states[column] = self._dialect.stored(column, total)
        for edge in [edge for edge in self._edges if not edge.is_additive and edge is edge.ways[0]]:
            for selected, totals in self._selected(edge):
                keys = zip(edge.host_key, list(selected.c), strict=False)
                joined = joined.outerjoin(selected, and_(*(own == key for own, key in keys)))
                states |= {column: selected.c[label] for column, label in totals.items()}
        results: list[ColumnElement[Any]] = []
        for value in self._values:
            result = self._host_statements.result(value, states)
            results.append(self._dialect.as_stored(states[value.column] if result is None else result, value.column))
        return joined, states, results

    def _selected(self, edge: Edge) -> Iterator[tuple[Subquery, dict[Column[Any], str]]]:
        """Yield the selected values of each host's members, with the labels of the running columns."""
        values = [part.value for part in edge.parts if part.value in self._values]
        for value in filter(is_ranking, values):
            members = _all_of(self._restricted(ranked_members(self._statements, way, value), way) for way in edge.ways)
            keys = [members.c[f"k{i}"] for i in range(len(edge.key))]
            shown = [type_coerce(members.c[f"v{i}"], column.type) for i, column in enumerate(value.running)]
            first = leading(value, keys, shown)
            yield first, {column: f"v{i}" for i, column in enumerate(value.running)}
        others = [value for value in values if not is_ranking(value)]
        if not others:
            return
        members = _all_of(self._restricted(self._statements.contributions(way), way) for way in edge.ways)
        keys = [members.c[f"k{i}"] for i in range(len(edge.key))]
        totals: dict[Column[Any], ColumnElement[Any]] = {}
        for value in others:
            shown = [type_coerce(members.c[f"d{edge.vector.index(c)}"], c.type) for c in value.running]
            totals |= zip(value.running, selection_of(value).total(shown), strict=True)
        labels = {column: f"d{i}" for i, column in enumerate(totals)}
        selected = select(*keys, *(total.label(labels[column]) for column, total in totals.items()))
        yield selected.group_by(*keys).subquery(), labels

    def _sums(self, key: Sequence[Any], edges: Sequence[Edge], n: int, python: bool) -> Subquery:
        host, width = self._host, len(key)
        parts: list[Select[Any]] = []
        for edge in edges:
            if edge.python:
                continue
            parts.append(self._restricted(self._statements.contributions(edge), edge))
        if python and any(edge.python for edge in edges):
            parts.append(select(*self._dialect.row_set(f"rows{n}", self._host_statements.row_shape(host, key)).c))
        each = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery(named(f"each{n}"))
        keys = [each.c[f"k{i}"] for i in range(width)]
        sums = [self._dialect.total(c, each.c[f"d{i}"]).label(f"d{i}") for i, c in enumerate(host.vector)]
        return select(*keys, *sums).group_by(*keys).subquery(named(f"sums{n}"))

    def _restricted(self, statement: Select[Any], edge: Edge) -> Select[Any]:
        """Return ``statement`` restricted to members of the wanted hosts, so that large tables are not fully summed."""
        host = self._host
        if host.constant is not None or self._whole:
            return statement
        wanted = self._dialect.contains(host.key, "ids", self._shape(host.key))
        if edge.host_key != host.key:
            left = edge.key[0] if len(edge.key) == 1 else tuple_(*edge.key)
            return statement.where(left.in_(select(*edge.host_key).where(wanted)))
        # the keys of the members themselves, and their range: with a join, all members would be scanned
        statement = statement.where(self._dialect.contains(edge.key, "ids", self._shape(host.key)))
        if self._has_range:
            first, last = (
                [bindparam(named(f"{name}_{field}"), type_=type_) for field, type_ in self._shape(host.key)]
                for name in ("first", "last")
            )
            key = edge.key[0] if len(edge.key) == 1 else tuple_(*edge.key)
            low, high = (first[0], last[0]) if len(first) == 1 else (tuple_(*first), tuple_(*last))
            statement = statement.where(key >= low, key <= high)
        return statement

    @property
    def _has_range(self) -> bool:
        """Whether Python orders keys of the host like the database."""
        return self._host.constant is None and all(is_ordered_alike(column.type) for column in self._host.key)

    def _parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        shape = self._shape(self._host.key)
        parameters = self._dialect.pack("ids", shape, keys)
        if self._has_range and keys:
            for name, key in (("first", min(keys)), ("last", max(keys))):
                fields = zip(shape, key, strict=True)
                parameters |= {named(f"{name}_{field}"): part for (field, _), part in fields}
        return parameters

    def _python_rows(self, keys: Sequence[Key]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Evaluate callbacks for the members of the hosts ``keys``; return their rows as parameters."""
        parameters = self._parameters(keys)
        found: dict[str, Any] = {}
        for n, key in enumerate(dict.fromkeys(e.host_key for e in self._edges)):
            edges = [e for e in self._edges if e.python and e.host_key == key]
            if edges:
                rows = [row for edge in edges for row in self._members(edge, parameters)]
                found |= self._dialect.pack(f"rows{n}", self._host_statements.row_shape(self._host, key), rows)
        return (found or None), parameters | found

    def _members(self, edge: Edge, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        def make() -> Select[Any]:
            return self._restricted(self._statements.members(edge), edge)

        statement = self._statements.cached(("members of hosts", edge), make)
        rows = self._propagation.db.execute(edge.member, statement, parameters)
        return [row for row in evaluate_members(edge, rows) if None not in row[: len(edge.key)]]


def _all_of(ways: Iterable[Select[Any]]) -> Subquery:
    """Return the rows of all SELECTs."""
    first, *more = ways
    return (union_all(first, *more) if more else first).subquery()


def is_ordered_alike(type_: TypeEngine[Any]) -> bool:
    """Whether Python and every database order values of ``type_`` alike, which is not the case for text."""
    return isinstance(type_, (Integer, Uuid)) and not isinstance(type_, TypeDecorator)


def restore(propagation: Propagation, values: Sequence[ComputedValue], keys: Sequence[Key]) -> None:
    """Store recomputed values in locked rows of one table, and record the deltas that depend on them.

    :param values: values of one table: aggregates, same-row values, or values that the application evaluates.
    """
    plan = propagation.db.statements.plan
    host = plan.hosts.get(values[0].table)
    source = plan.sources[values[0].table]
    aggregates = [value for value in values if value.is_aggregate]
    refreshes = bool(source.same_row) and (len(aggregates) > 0 or any(v in source.same_row for v in values))
    # all functions of the row are called again, so each of their columns may change for other rows
    stored = [value for value in values if value.inputs is None]
    columns = {c for v in (*stored, *(source.same_row if refreshes else ())) for c in (v.column, *v.running)}
    bracket = WriteBracket(propagation)
    touched = {source: Touched(dict.fromkeys(keys), columns)} if stored else {}
    bracket.open(Write(touched, named=NamedRows(source, values[0].mapper, keys) if stored else None))
    if aggregates and host is not None:
        Recompute(propagation, host, aggregates).write(keys)
    bracket.close(*([Changed(source, keys, columns)] if refreshes else ()))
    for value in in_order_of_inputs(values):
        store_evaluated(propagation, value, keys)


def in_order_of_inputs(values: Iterable[ComputedValue]) -> list[ComputedValue]:
    """Return the values that the application evaluates, each after those of the same row that it reads."""
    left = list(dict.fromkeys(value for value in values if value.inputs is not None))
    ordered: list[ComputedValue] = []
    while left:
        written = {value: set(value.running) for value in left}
        ready = [v for v in left if all(o is v or _reads(v).isdisjoint(written[o]) for o in left)] or left
        ordered += ready
        left = [value for value in left if value not in ready]
    return ordered


def _reads(value: ComputedValue) -> set[Column[Any]]:
    assert value.inputs is not None
    return {column for edge in value.inputs.edges for column in edge.inputs}


def read_evaluated(propagation: Propagation, value: ComputedValue, keys: Sequence[Key]) -> Iterator[Fresh]:
    """Yield rows with a value as stored and as the application evaluates it."""
    for found in fresh_values(propagation, value, keys):
        yield Fresh(*found)


def read_same_row(propagation: Propagation, value: ComputedValue, keys: Sequence[Key]) -> Iterator[Fresh]:
    """Yield rows with a same-row value as stored and as its function returns it."""
    source = propagation.db.statements.plan.sources[value.table]
    rows = read_instances(propagation.db, source, value.mapper, keys)
    expected = {key: (fresh_same_row(value, source, row),) for key, row in rows.items()}
    # a column may round: different values are compared in their stored form
    differing = [key for key, row in rows.items() if not same_value(row[value.attribute], expected[key][0])]
    stored = as_stored(propagation.db, source, [value.column], [expected[key] for key in differing])
    expected |= zip(differing, stored, strict=True)
    for key, row in rows.items():
        yield Fresh(key, (row[value.attribute],), expected[key])
