"""The naive way: values computed anew from all members; the oracle of the engine, and its back-fill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Subquery,
    cast,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from ..definitions.same_row import SameRow
from .dialects import Lock, dialect_for
from .dialects.base import named
from .memory import Memory
from .plan import ComputedValue, Edge, Host, Plan, Source
from .plan.expressions import labelled
from .propagation import Propagation
from .python_parts import evaluate_members
from .round_trip import as_stored, same_value
from .same_row import fresh_same_row, read_attributes, refresh_same_row
from .statements import Statements
from .touched import Key, Touched
from .written_rows import WrittenRows

_ZERO: ColumnElement[Any] = literal_column("0")


@dataclass(frozen=True)
class Fresh:
    """One row with its values as they are stored and as they should be."""

    key: Key
    stored: tuple[Any, ...]
    expected: tuple[Any, ...]


def next_keys(
    propagation: Propagation, source: Source, columns: Sequence[Column[Any]], after: Key | None, limit: int, lock: bool
) -> list[Key]:
    """Return up to ``limit`` primary keys after ``after``, in order; locked if asked."""
    statement = select(*columns).order_by(*columns).limit(limit)
    if after is not None:
        last = [literal(value, column.type) for value, column in zip(after, columns, strict=True)]
        left, right = (columns[0], last[0]) if len(columns) == 1 else (tuple_(*columns), tuple_(*last))
        statement = statement.where(left > right)
    if lock:
        statement = propagation.dialect.lock(statement, Lock.NO_KEY_UPDATE, columns[0].table)
    return [tuple(row) for row in propagation.execute(source, statement, {})]


class Recompute:
    """Fresh values of some aggregates of one host table."""

    def __init__(self, propagation: Propagation, host: Host, values: Sequence[ComputedValue]) -> None:
        self._propagation = propagation
        self._statements = propagation.statements
        self._dialect = propagation.dialect
        self._host = host
        self._values = tuple(values)
        self._edges = [e for e in host.edges if any(part.value in self._values for part in e.parts)]

    def read(self, keys: Sequence[Key]) -> Iterator[Fresh]:
        """Yield the rows of ``keys``, fresh beside stored."""
        stored = [value.column for value in self._values]
        running = self._running()
        rows, parameters = self._python_rows(keys)

        def make() -> Select[Any]:
            joined, states, results = self._fresh(rows is not None)
            # hidden columns are read as the engine adds them, whatever the database makes of decimals
            held = [type_coerce(c, self._dialect.number_type(c)) for c in running]
            columns = [*self._host.key, *stored, *held, *results, *(states[c] for c in running)]
            statement = select(*labelled(columns)).select_from(joined)
            return statement.where(self._dialect.contains(self._host.key, "ids", self._shape(self._host.key)))

        statement = self._statements.keep(("recompute", self._host, self._values, rows is not None), make)
        width, count = len(self._host.key), len(stored) + len(running)
        for row in self._propagation.execute(self._host.source, statement, parameters):
            yield Fresh(tuple(row[:width]), tuple(row[width : width + count]), tuple(row[width + count :]))

    def write(self, keys: Sequence[Key]) -> None:
        """Store fresh values for rows that are locked already."""
        rows, parameters = self._python_rows(keys)

        def make() -> Any:
            joined, states, results = self._fresh(rows is not None)
            running = self._running()
            fresh = select(*labelled([*self._host.key, *results, *(states[c] for c in running)])).select_from(joined)
            fresh = fresh.where(self._dialect.contains(self._host.key, "ids", self._shape(self._host.key)))
            found = fresh.subquery("fresh")
            width = len(self._host.key)
            targets = [*(value.column for value in self._values), *running]
            stored: dict[str, Any] = {c.key: c for c in self._host.table.columns if c.onupdate is not None}
            stored |= {c.key: found.c[f"c{width + i}"] for i, c in enumerate(targets)}
            statement = update(self._host.table).values(stored)
            statement = statement.where(*(c == found.c[f"c{i}"] for i, c in enumerate(self._host.key)))
            return statement.returning(*self._host.key, *(value.column for value in self._values))

        statement = self._statements.keep(("store fresh", self._host, self._values, rows is not None), make)
        width = len(self._host.key)
        for row in self._propagation.execute(self._host.source, statement, parameters):
            self._propagation.memory.refresh(self._values, tuple(row[:width]), tuple(row[width:]))

    def _running(self) -> list[Column[Any]]:
        own = {value.column for value in self._values}
        return [c for value in self._values for c in value.running if c not in own]

    def _shape(self, key: Sequence[Any]) -> Any:
        return self._statements.hosts.host_shape(key)

    def _fresh(
        self, python: bool
    ) -> tuple[FromClause, dict[Column[Any], ColumnElement[Any]], list[ColumnElement[Any]]]:
        """Return hosts joined with their members' sums, the running columns over them, and the values that follow."""
        host = self._host
        joined: FromClause = host.table
        states: dict[Column[Any], ColumnElement[Any]] = {}
        for n, key in enumerate(dict.fromkeys(tuple(e.host_key) for e in self._edges)):
            sums = self._sums(key, [e for e in self._edges if tuple(e.host_key) == key], n, python)
            on = [c == sums.c[f"k{i}"] for i, c in enumerate(key)]
            joined = joined.outerjoin(sums, on[0] if len(on) == 1 else on[0] & tuple_(*on[1:]))
            for edge in self._edges:
                if tuple(edge.host_key) == key:
                    for part in edge.parts:
                        for position in part.positions:
                            column = host.vector[position]
                            total = func.coalesce(sums.c[f"d{position}"], _ZERO)
                            states[column] = self._dialect.stored(column, total)
        results: list[ColumnElement[Any]] = []
        for value in self._values:
            result = self._statements.hosts.result(value, states)
            results.append(cast(states[value.column] if result is None else result, value.column.type))
        return joined, states, results

    def _sums(self, key: Sequence[Any], edges: Sequence[Edge], n: int, python: bool) -> Subquery:
        host, width = self._host, len(key)
        # a large table is not summed up for a handful of hosts
        wanted = select(*key).where(self._dialect.contains(host.key, "ids", self._shape(host.key)))
        parts: list[Select[Any]] = []
        for edge in edges:
            if edge.python:
                continue
            statement = self._statements.contributions(edge)
            if host.constant is None:
                left = edge.key[0] if width == 1 else tuple_(*edge.key)
                statement = statement.where(left.in_(wanted))
            parts.append(statement)
        if python and any(edge.python for edge in edges):
            parts.append(select(*self._dialect.row_set(f"rows{n}", self._statements.hosts.row_shape(host, key)).c))
        each = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery(named(f"each{n}"))
        keys = [each.c[f"k{i}"] for i in range(width)]
        sums = [self._dialect.total(c, each.c[f"d{i}"]).label(f"d{i}") for i, c in enumerate(host.vector)]
        return select(*keys, *sums).group_by(*keys).subquery(named(f"sums{n}"))

    def _python_rows(self, keys: Sequence[Key]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Evaluate callbacks for the members of ``keys``; return their rows as parameters."""
        parameters = self._dialect.pack("ids", self._shape(self._host.key), keys)
        found: dict[str, Any] = {}
        for n, key in enumerate(dict.fromkeys(tuple(e.host_key) for e in self._edges)):
            edges = [e for e in self._edges if e.python and tuple(e.host_key) == key]
            if edges:
                rows = [row for edge in edges for row in self._members(edge, parameters)]
                found |= self._dialect.pack(f"rows{n}", self._statements.hosts.row_shape(self._host, key), rows)
        return (found or None), parameters | found

    def _members(self, edge: Edge, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        def make() -> Select[Any]:
            statement = self._statements.members(edge)
            if self._host.constant is not None:
                return statement
            wanted = select(*edge.host_key).where(
                self._dialect.contains(self._host.key, "ids", self._shape(self._host.key))
            )
            left = edge.key[0] if len(edge.key) == 1 else tuple_(*edge.key)
            return statement.where(left.in_(wanted))

        statement = self._statements.keep(("members of hosts", edge), make)
        rows = self._propagation.execute(edge.driver, statement, parameters)
        return [row for row in evaluate_members(edge, rows) if None not in row[: len(edge.key)]]


def restore(propagation: Propagation, values: Sequence[ComputedValue], keys: Sequence[Key]) -> None:
    """Store fresh values for locked rows of one table, and let what is computed from them follow.

    :param values: values of one table: aggregates or same-row ones.
    """
    plan = propagation.statements.plan
    host = plan.hosts.get(values[0].table)
    source = plan.sources[values[0].table]
    propagation.before({source: Touched(dict.fromkeys(keys), {c for v in values for c in (v.column, *v.running)})})
    written = WrittenRows(propagation)
    written.remember_rows(source, values[0].mapper, keys)
    aggregates = [value for value in values if value.accumulator is not None]
    if aggregates and host is not None:
        Recompute(propagation, host, aggregates).write(keys)
    if any(isinstance(value.computation, SameRow) for value in values) or (aggregates and source.same_row):
        refresh_same_row(propagation, source, keys)
    written.tell()
    propagation.run()


def read_same_row(propagation: Propagation, value: ComputedValue, keys: Sequence[Key]) -> Iterator[Fresh]:
    """Yield rows with a same-row value as it is stored and as its function gives it."""
    source = propagation.statements.plan.sources[value.table]
    rows = read_attributes(propagation, source, value.mapper, keys)
    expected = {key: (fresh_same_row(value, source, row),) for key, row in rows.items()}
    # a column may round: what differs is compared as it would be stored
    differing = [key for key, row in rows.items() if not same_value(row[value.attribute], expected[key][0])]
    stored = as_stored(propagation, source, [value.column], [expected[key] for key in differing])
    expected |= zip(differing, stored, strict=True)
    for key, row in rows.items():
        yield Fresh(key, (row[value.attribute],), expected[key])


def backfill_batch(value: ComputedValue, connection: Connection, after: Key | None, limit: int) -> Key | None:
    """Compute and store ``value`` for the next rows of its table, in primary key order.

    :param connection: with a running transaction.
    :param after: the last key that is done, ``None`` at the start.
    :param limit: how many rows at the most.
    :return: the last key of this batch, ``None`` if there was nothing left to do.
    """
    metadata = value.table.metadata
    statements = Statements(Plan.of(metadata), dialect_for(connection.dialect))
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        propagation = Propagation(session, statements, Memory(session, statements.plan))
        source = statements.plan.sources[value.table]
        keys = next_keys(propagation, source, tuple(source.key_in(value.table)), after, limit, lock=True)
        if keys and (value.accumulator is not None or isinstance(value.computation, SameRow)):
            restore(propagation, [value], keys)
        session.expunge_all()
        return keys[-1] if keys else None
