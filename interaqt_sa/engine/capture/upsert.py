"""Run INSERT … ON CONFLICT DO UPDATE: separate new rows from existing ones, and lock the latter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ClauseElement, Column, Result, Select
from sqlalchemy.engine.result import FrozenResult

from ...dialects import Lock
from ...errors import UnmanagedWriteError
from ..database.advisory_locks import lock_names, place_of
from ..plan import Key
from ..propagation.statement_inserts import returned_columns
from .conflict_targets import ConflictTarget, Values, conflict_targets
from .core_statement_guard import MANAGED_OPTION
from .dml_results import WriteResult
from .dml_statement import conflict_clauses
from .returned_values import ReturnedValues

if TYPE_CHECKING:
    from .orm_dml import Bulk

_MAX_ROUNDS = 50
#: the number of upserts into one table that can decide at the same time
_TURNS = 256

#: rows by number
Rows = dict[int, Values]


class Upsert:
    """One INSERT with ON CONFLICT DO UPDATE.

    It runs in rounds: lock the existing rows in order; insert the others, unless they conflict by now; let the
    statement update the locked rows. A row that another transaction has inserted in between is locked in the next
    round.

    The database decides which rows conflict, because it applies collations, rounding and expressions. It may return a
    row too many, which is locked in vain: rows that the statement inserts after all are recognised by their keys.
    """

    # These parts of an INSERT have no public accessors: _values, _multi_values, _post_values_clause, _returning,
    # _sort_by_parameter_order.

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk
        self._dialect = bulk.propagation.db.dialect
        self._targets: Sequence[ConflictTarget] = tuple(conflict_targets(bulk.dml))
        self._answers: list[tuple[FrozenResult[Any], Sequence[Key]]] = []
        self._updated: dict[Key, None] = {}
        self._written = 0
        self._gone: list[Key] = []
        # SQLAlchemy renders the values of index_where into the SQL for SQLite, which works for one row only
        wheres = [clause.inferred_target_whereclause for clause in conflict_clauses(bulk.statement)]
        self._is_single = not self._dialect.has_row_locks and any(where is not None for where in wheres)
        self._refuse_keys()

    def _refuse_keys(self) -> None:
        table = self._bulk.table
        for column, value in self._bulk.dml.set_on_conflict():
            if column.primary_key and not self._keeps(column, value):
                raise UnmanagedWriteError(
                    f"ON CONFLICT DO UPDATE SET {table.name}.{column.name} would change primary keys; "
                    "leave the primary key out of set_",
                    table=table.fullname,
                )

    def _keeps(self, column: Column[Any], value: Any) -> bool:
        """Whether a row keeps its key, because the row conflicts on this column, possibly among others."""
        excluded = isinstance(value, Column) and value.name == column.name
        return excluded and all(column in target.elements for target in self._targets)

    def run(self) -> Result[Any]:
        """Run the statement and return its result."""
        bulk = self._bulk
        rows, statement = self._rows_and_statement()
        bulk.protect(None)
        keys = {n: [target.key_of(row) for target in self._targets] for n, row in rows.items()}
        for numbers in self._batches(keys):
            self._run_distinct({n: rows[n] for n in numbers}, keys, statement)
        bulk.moved(self._gone, set())
        bulk.rekeyed(list(self._updated), {column for column, _ in bulk.dml.set_on_conflict()})
        bulk.run()
        if bulk.statement._returning:
            return WriteResult.of(ReturnedValues(bulk).replace(self._answers), None, bulk.statement, self._written)
        return WriteResult.without_rows(None, bulk.statement, self._written)

    # -- batches -----------------------------------------------------------------------------------------------

    def _batches(self, keys: Mapping[int, Sequence[Key]]) -> Iterable[list[int]]:
        """Yield batches of row numbers; the rows of a batch do not conflict with each other.

        A later row with the same key updates the row that an earlier one has written.
        """
        is_ordered = self._bulk.statement._sort_by_parameter_order
        if is_ordered:  # row by row, as by SQLAlchemy itself: which row has which number is known only then
            self._take_turns(keys.values())
        if is_ordered or len(self._targets) != 1:
            yield from ([n] for n in keys)
            return
        (target,) = self._targets
        free = [n for n, (key,) in keys.items() if target.is_free(key)]
        if free:
            yield free
        rest = {n: key for n, (key,) in keys.items() if n not in set(free)}
        groups: dict[Any, list[int]] = {}
        for n, group in self._groups(target, rest).items():
            groups.setdefault(group, []).append(n)
        turn = 0
        while batch := [numbers[turn] for numbers in groups.values() if turn < len(numbers)]:
            yield batch
            turn += 1

    def _groups(self, target: ConflictTarget, keys: Mapping[int, Key]) -> Mapping[int, Any]:
        if target.is_exact or len(keys) < 2:
            return keys
        return dict(self._execute_own(target.group(self._dialect), target.packed(self._dialect, keys)))

    def _execute_own(self, statement: Select[Any], parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        found = self._bulk.propagation.db.execute(self._bulk.source, statement, parameters)
        return [tuple(row) for row in found]

    # -- rounds ------------------------------------------------------------------------------------------------

    def _run_distinct(self, rows: Rows, keys: Mapping[int, Sequence[Key]], statement: Any) -> None:
        rows = _in_key_order(rows, keys)
        self._take_turns(keys[n] for n in rows)
        mine: dict[Key, None] = {}
        for round_ in range(_MAX_ROUNDS):
            there = self._lock(rows, {n: keys[n] for n in rows}, widely=round_ > 0)
            for n, found in list(there.items()):
                # inserted in an earlier round, which could not tell the row's number
                if (own := next((key for key in found if key in mine), None)) is not None:
                    del mine[own], there[n], rows[n]
            absent = [row for n, row in rows.items() if n not in there]
            created = self._insert(absent, statement) if absent else ()
            mine |= dict.fromkeys(created)
            if there:
                known = [key for found in there.values() for key in found]
                self._update([rows[n] for n in there], known, statement)
            rows = {n: row for n, row in rows.items() if n not in there} if len(created) < len(absent) else {}
            if not rows:
                return
        raise UnmanagedWriteError(
            f"ON CONFLICT into {self._bulk.table.name!r}: the rows {list(rows.values())[:5]} neither conflict on the "
            "unique key that it names nor can be inserted",
            table=self._bulk.table.name,
        )

    def _take_turns(self, keys: Iterable[Sequence[Key]]) -> None:
        """Take the locks that let only one upsert of a key at a time decide whether its row exists.

        Otherwise a row that another upsert has just inserted would be locked after the rows above it, instead of
        before.
        """
        bulk = self._bulk
        texts = (repr(key if len(key) > 1 else key[0]).casefold() for key in keys)
        names = (f"upsert {bulk.table.fullname} {place_of(text, _TURNS)}" for text in texts)
        lock_names(bulk.propagation.db, bulk.source, names)

    def _lock(self, rows: Rows, keys: Mapping[int, Sequence[Key]], *, widely: bool) -> dict[int, list[Key]]:
        """Lock the existing rows, and all rows that they refer to; return their keys by the number of the row."""
        bulk = self._bulk
        found: dict[int, dict[Key, None]] = {}
        for i, target in enumerate(self._targets):
            sought = {n: key[i] for n, key in keys.items() if not target.is_free(key[i])}
            if sought:
                packed = target.packed(self._dialect, sought)
                for n, *key in self._execute_own(self._find(target, widely=widely), packed):
                    found.setdefault(n, {})[tuple(key)] = None
        locked = dict.fromkeys(key for keys in found.values() for key in keys)
        self._gone += bulk.make_room(rows.values(), besides=locked)
        bulk.before(list(locked), set(bulk.table.columns), Lock.UPDATE, bulk.given.of_columns(rows.values()))
        return {n: list(keys) for n, keys in found.items()}

    def _find(self, target: ConflictTarget, *, widely: bool) -> Select[Any]:
        bulk = self._bulk

        def make() -> Select[Any]:
            find = target.find(self._dialect, bulk.key, widely=widely).order_by(*bulk.key)
            return self._dialect.lock(find, Lock.UPDATE, bulk.table)

        # expressions of the application differ on each call
        return bulk.statements.cached(("upsert", target.elements), make) if target.is_plain else make()

    def _insert(self, rows: Sequence[Values], statement: Any) -> list[Key]:
        """Insert the rows that do not conflict; return the keys of the inserted rows."""
        insert = statement._generate()
        insert._post_values_clause = None
        for clause in conflict_clauses(statement):
            insert = insert.on_conflict_do_nothing(**_target_of(clause))
        return self._execute(insert, rows, ())

    def _update(self, rows: Sequence[Values], keys: Sequence[Key], statement: Any) -> None:
        """Update locked rows."""
        self._execute(statement, rows, keys)
        self._bulk.moved(keys)
        self._updated |= dict.fromkeys(keys)

    def _execute(self, statement: Any, rows: Sequence[Values], locked: Sequence[Key]) -> list[Key]:
        """Run a statement for rows, and add the contributions of the rows that it inserts; return their keys."""
        bulk, asked = self._bulk, self._bulk.statement._returning
        columns = returned_columns(bulk.propagation, bulk.source, (bulk.table,))
        places = [columns.index(c) for c in bulk.key]
        fresh: list[tuple[Any, ...]] = []
        known = set(locked)
        for parameters, prepared in self._executions(statement, rows):
            frozen = self._run(prepared.returning(*bulk.dml.returned(columns)), parameters).freeze()
            width = len(frozen.metadata.keys) - len(columns)
            returned = [tuple(row)[width:] for row in frozen()]
            if asked:
                keys = [tuple(row[i] for i in places) for row in returned]
                self._answers.append((frozen().columns(*range(width)).freeze(), keys))
            self._written += len(returned)
            fresh += [row for row in returned if tuple(row[i] for i in places) not in known]
        bulk.count_new(columns, fresh, replaced=self._gone)
        return [tuple(row[i] for i in places) for row in fresh]

    def _executions(self, statement: Any, rows: Sequence[Values]) -> Iterable[tuple[list[dict[str, Any]], Any]]:
        """Yield parameter sets with their statement; a row with SQL expressions needs a statement of its own."""
        alike: dict[Any, list[dict[str, Any]]] = {}
        for n, row in enumerate(rows):
            sql = {column: value for column, value in row.items() if isinstance(value, ClauseElement)}
            if sql:
                rest = {column: value for column, value in row.items() if column not in sql}
                given = {self._bulk.dml.expression(column): value for column, value in sql.items()}
                yield [self._parameters(rest)], statement.values(given)
            else:
                alike.setdefault(n if self._is_single else frozenset(row), []).append(self._parameters(row))
        yield from ((parameters, statement) for parameters in alike.values())

    def _parameters(self, row: Values) -> dict[str, Any]:
        name = self._bulk.dml.name_in_rows
        return {str(name(column)): value for column, value in row.items()}

    def _run(self, statement: Any, parameters: list[dict[str, Any]]) -> Result[Any]:
        execution = self._bulk.execution
        options = {MANAGED_OPTION: True, "dml_strategy": self._bulk.dml.strategy, "autoflush": False}
        given, execution.parameters = execution.parameters, parameters
        try:
            with self._bulk.unit.writing(in_parts=len(parameters) > 1), execution.session.no_autoflush:
                # instead of session.execute(), which would call the listeners of the application again
                return execution.invoke_statement(statement=statement, execution_options=options)
        finally:
            execution.parameters = given

    # -- parts of the statement --------------------------------------------------------------------------------

    def _rows_and_statement(self) -> tuple[Rows, Any]:
        """Return the rows to insert, and the statement without them."""
        statement, dml = self._bulk.statement, self._bulk.dml
        bare = statement._generate()
        bare._multi_values = ()
        bare._values = None
        if statement.select is not None:
            rows: Sequence[Values] = self._selected()
            bare.select = None
            bare._select_names = None
        else:
            rows = dml.given_rows()
        return dict(enumerate(rows)), bare

    def _selected(self) -> list[Values]:
        """Run the SELECT of ``INSERT … SELECT``, because conflicts can be found only for known rows."""
        statement, dml = self._bulk.statement, self._bulk.dml
        names = [column for name in statement._select_names for column, _ in dml.assigned(name, None)]
        return [dict(zip(names, row, strict=True)) for row in self._bulk.read(statement.select, dml.parameters)]


def _target_of(clause: Any) -> dict[str, Any]:
    if getattr(clause, "constraint_target", None):
        return {"constraint": clause.constraint_target}
    if clause.inferred_target_elements is None:
        return {}
    target: dict[str, Any] = {"index_elements": list(clause.inferred_target_elements)}
    if clause.inferred_target_whereclause is not None:
        target["index_where"] = clause.inferred_target_whereclause
    return target


def _in_key_order(rows: Rows, keys: Mapping[int, Sequence[Key]]) -> Rows:
    """Return rows in the order of their keys, because two upserts of the same new keys could deadlock otherwise."""
    order: Any = keys.__getitem__
    try:
        return {n: rows[n] for n in sorted(rows, key=order)}
    except TypeError:  # NULL, or a type without an order
        return {n: rows[n] for n in sorted(rows, key=lambda n: repr(order(n)))}
