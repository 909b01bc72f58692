"""INSERT … ON CONFLICT DO UPDATE: which rows are new and which are updated must be known, and the latter locked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Index, Result, UniqueConstraint, select
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.sql.elements import BindParameter

from ..errors import UnmanagedWriteError
from .advisory import lock_names, place_of
from .dialects import Lock
from .given import rows_of_values
from .guard import MANAGED_OPTION
from .inserted import returned_columns
from .results import WriteResult, split_result
from .touched import Key

if TYPE_CHECKING:
    from .bulk import Bulk

Row = dict[str, Any]

_MAX_ROUNDS = 50
#: so many upserts into one table may decide at once
_TURNS = 256


def _in_key_order(rows: Mapping[Key, Row]) -> list[Row]:
    """Return rows in the order of their keys: two upserts of the same new keys would otherwise wait for each other."""
    try:
        return [rows[key] for key in sorted(rows)]
    except TypeError:  # NULL, which conflicts with nothing, or a type without an order
        return [rows[key] for key in sorted(rows, key=repr)]


class Upsert:
    """One INSERT with ON CONFLICT DO UPDATE.

    A loop: lock the rows that are there, in order; insert the others, unless they conflict by now; let the statement
    update what was locked. A row that came in between is locked in the next round.
    """

    # The parts of an INSERT have no public accessors: _values, _multi_values, _post_values_clause, _returning.

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._clause = bulk.statement._post_values_clause
        self._columns = self._conflict_columns()
        self._names = [self._name(column) for column in self._columns]
        self._answer_names: list[str] = []
        self._answers: list[tuple[Any, ...]] = []
        self._created: list[tuple[Any, ...]] = []
        self._written = 0

    def run(self) -> Result[Any]:
        """Run it."""
        rows, statement = self._rows_and_statement()
        while rows:
            first: dict[Key, Row] = {}
            repeated = [row for row in rows if first.setdefault(self._conflict_of(row), row) is not row]
            self._run_distinct(first, statement)
            rows = repeated  # a later row with the same key updates what an earlier one has written
        self._bulk.propagation.run()
        if self._bulk.statement._returning:
            return IteratorResult(SimpleResultMetaData(self._answer_names), iter(self._answers))
        return WriteResult([], [()] * self._written)

    def _run_distinct(self, rows: dict[Key, Row], statement: Any) -> None:
        self._take_turns(rows)
        for _ in range(_MAX_ROUNDS):
            there = self._lock(rows)
            absent = {conflict: row for conflict, row in rows.items() if conflict not in there}
            created = self._insert(_in_key_order(absent), statement) if absent else ()
            if there:
                self._update([rows[conflict] for conflict in there], list(there.values()), statement)
            for conflict in (*created, *there):
                rows.pop(conflict, None)
            if not rows:
                return
        raise UnmanagedWriteError(
            f"ON CONFLICT into {self._bulk.table.name!r}: the rows {list(rows)[:5]} neither conflict by "
            f"{', '.join(self._names)} nor can be inserted; do their values compare equal in Python and the database?",
            table=self._bulk.table.name,
        )

    def _take_turns(self, rows: Iterable[Key]) -> None:
        """Let one upsert of a key at a time decide whether its row is there.

        Otherwise a row that another one has just inserted would be locked after, not before, the rows above it.
        """
        bulk = self._bulk
        names = (f"upsert {bulk.table.fullname} {place_of(repr(key), _TURNS)}" for key in rows)
        lock_names(bulk.propagation, bulk.source, names)

    def _insert(self, rows: Sequence[Row], statement: Any) -> list[Key]:
        """Insert the rows that do not conflict; return their conflict keys."""
        columns = list(dict.fromkeys([*self._returned_columns(), *self._columns]))
        insert = statement._generate()
        insert._post_values_clause = None
        insert = insert.on_conflict_do_nothing(**self._target()).returning(*columns)
        answer, created = split_result(self._execute(insert, rows), statement, columns)
        self._keep(answer)
        self._written += len(created)
        self._bulk.count_new(columns, created)
        places = [columns.index(c) for c in self._columns]
        return [tuple(row[i] for i in places) for row in created]

    def _lock(self, rows: Mapping[Key, Row]) -> dict[Key, Key]:
        """Lock the rows that are there, and what all of them refer to; return their keys by what they conflict by."""
        bulk, propagation = self._bulk, self._bulk.propagation
        key = list(bulk.table.primary_key.columns)
        shape = tuple((f"p{i}", c.type) for i, c in enumerate(self._columns))
        find = select(*key, *self._columns).where(propagation.dialect.contains(self._columns, "ids", shape))
        if self._clause.inferred_target_whereclause is not None:
            find = find.where(self._clause.inferred_target_whereclause)
        find = propagation.dialect.lock(find.order_by(*key), Lock.UPDATE, bulk.table)
        found = propagation.execute(bulk.source, find, propagation.dialect.pack("ids", shape, list(rows)))
        locked = {tuple(row[len(key) :]): tuple(row[: len(key)]) for row in found}
        locked = {conflict: row for conflict, row in locked.items() if conflict in rows}
        bulk.before(list(locked.values()), set(bulk.table.columns), Lock.UPDATE, list(rows.values()))
        return locked

    def _update(self, rows: Sequence[Row], keys: Sequence[Key], statement: Any) -> None:
        """Update rows that are locked."""
        self._keep(self._execute(statement, rows))
        self._written += len(rows)
        self._bulk.moved(keys)

    def _returned_columns(self) -> list[Column[Any]]:
        return returned_columns(self._bulk.propagation, self._bulk.source, (self._bulk.table,))

    def _execute(self, statement: Any, rows: Sequence[Row]) -> Result[Any]:
        execution = self._bulk.execution
        options = {**execution.local_execution_options, MANAGED_OPTION: True}
        return execution.session.execute(
            statement, list(rows), execution_options=options, bind_arguments={"mapper": execution.bind_mapper}
        )

    def _keep(self, result: Result[Any]) -> None:
        if self._bulk.statement._returning:
            self._answer_names = list(result.keys())
            self._answers += [tuple(row) for row in result.all()]

    # -- taking the statement apart ----------------------------------------------------------------------------

    def _rows_and_statement(self) -> tuple[list[Row], Any]:
        """Return the rows to insert, and the statement without them."""
        statement, table = self._bulk.statement, self._bulk.table
        if statement.select is not None:
            raise UnmanagedWriteError(
                f"INSERT … SELECT … ON CONFLICT into {table.name!r} cannot be followed row by row; select the rows "
                "first and pass them as parameters",
                table=table.name,
            )
        given = {self._name(k): v for k, v in (statement._values or {}).items()}
        fixed = {k: v.value for k, v in given.items() if isinstance(v, BindParameter)}
        rows = [{self._name(k): v for k, v in row.items()} for row in rows_of_values(table, statement)]
        rows = rows or [dict(row) for row in self._bulk.rows] or [dict(self._bulk.parameters)]
        bare = statement._generate()
        bare._multi_values = ()
        bare._values = None
        expressions = {k: v for k, v in given.items() if k not in fixed}
        return [fixed | row for row in rows], bare.values(expressions) if expressions else bare

    def _name(self, column: Any) -> str:
        """Return the name by which parameters of the statement speak of a column."""
        mapper = self._bulk.execution.bind_mapper
        if isinstance(column, Column) and mapper is not None and self._bulk.execution.is_orm_statement:
            return mapper.get_property_by_column(self._bulk.table.c[column.key]).key
        return str(getattr(column, "key", column))

    def _conflict_of(self, row: Row) -> Key:
        try:
            return tuple(row[name] for name in self._names)
        except KeyError as error:
            raise UnmanagedWriteError(
                f"ON CONFLICT into {self._bulk.table.name!r}: each row must give {error}, by which conflicts are found",
                table=self._bulk.table.name,
            ) from error

    def _target(self) -> dict[str, Any]:
        clause = self._clause
        if getattr(clause, "constraint_target", None):
            return {"constraint": clause.constraint_target}
        if clause.inferred_target_elements is None:
            return {}
        target: dict[str, Any] = {"index_elements": list(clause.inferred_target_elements)}
        if clause.inferred_target_whereclause is not None:
            target["index_where"] = clause.inferred_target_whereclause
        return target

    def _conflict_columns(self) -> list[Column[Any]]:
        table, clause = self._bulk.table, self._clause
        name = getattr(clause, "constraint_target", None)
        for constraint in (*table.constraints, *table.indexes) if name else ():
            if isinstance(constraint, (UniqueConstraint, Index)) and constraint.name == name:
                return list(constraint.columns)
        elements: Sequence[Any] = () if name else clause.inferred_target_elements or ()
        return [table.c[getattr(e, "key", e)] for e in elements] or list(table.primary_key.columns)
