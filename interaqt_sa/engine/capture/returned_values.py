"""Computed values in RETURNING, which the database returns before they are updated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Column, ColumnElement, Result, Select, Table, select
from sqlalchemy.engine.result import FrozenResult
from sqlalchemy.sql import visitors

from ..plan import Key, Plan, Source
from ..plan.column_replacement import labelled
from .dml_results import WriteResult
from .dml_statement import DMLStatement


class FollowedStatement(Protocol):
    """A statement that the engine follows, such as a :class:`.Bulk`."""

    @property
    def dml(self) -> DMLStatement: ...

    @property
    def statement(self) -> Any: ...

    @property
    def table(self) -> Table: ...

    @property
    def tables(self) -> Sequence[Table]: ...

    @property
    def source(self) -> Source: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def key(self) -> Sequence[Column[Any]]: ...

    def key_is_in(self, keys: Sequence[Key]) -> ColumnElement[bool]: ...

    def read(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Iterable[Any]: ...


class ReturnedValues:
    """The elements of a statement's RETURNING that read values computed from its own rows.

    :ivar key: additional columns to return, which identify the rows; empty if nothing has to be read again.
    """

    def __init__(self, bulk: FollowedStatement) -> None:
        self._bulk = bulk
        self._tables = set(bulk.tables) if bulk.statement.is_insert else {bulk.table}
        self._elements = _following(bulk.statement._returning, self._tables, bulk.source, bulk.plan)
        self.key: Sequence[Column[Any]] = bulk.key if self._elements else ()
        self._frozen: FrozenResult[Any] | None = None

    def take(self, result: Result[Any]) -> Result[Any]:
        """Fetch the rows of an UPDATE before its values are updated."""
        if self._elements:
            self._frozen = result.freeze()
        return result

    def fresh(self, result: Result[Any]) -> Result[Any]:
        """Return the result of the UPDATE with updated values."""
        if self._frozen is None:
            return result
        width = len(self._frozen.metadata.keys) - len(self.key)
        rows = [tuple(row) for row in self._frozen()]
        (answer,) = self.replace([(self._frozen, [row[width:] for row in rows])])
        return WriteResult.of([answer], result, self._bulk.statement, len(rows), width=width)

    def inserted(
        self, answer: WriteResult, columns: Sequence[Column[Any]], returned: Sequence[tuple[Any, ...]]
    ) -> WriteResult:
        """Return the result of an INSERT with updated values.

        :param columns: the columns that the engine has added to its RETURNING; their values are in ``returned``.
        """
        if not self._elements:
            return answer
        # with joined inheritance the key of the base table is requested
        key = self.key if set(self.key) <= set(columns) else self._bulk.source.key
        places = [columns.index(column) for column in key]
        (rows,) = self.replace([(answer.freeze(), [tuple(row[i] for i in places) for row in returned])])
        return answer.with_rows(rows, self._bulk.statement)

    def replace(self, answers: Iterable[tuple[FrozenResult[Any], Sequence[Key]]]) -> list[FrozenResult[Any]]:
        """Return results with the values that are stored now.

        :param answers: the results of several executions, with the keys of their rows.
        """
        known = list(answers)
        if not self._elements:
            return [answer for answer, _ in known]
        stored = self._read(list(dict.fromkeys(key for _, keys in known for key in keys)))
        return [
            answer.with_new_rows(
                [self._with(tuple(row), stored.get(key)) for row, key in zip(answer(), keys, strict=True)]
            )
            for answer, keys in known
        ]

    def _with(self, row: tuple[Any, ...], stored: Sequence[Any] | None) -> Any:
        if stored is None:  # deleted in the meantime
            return row
        values = dict(zip(self._elements, stored, strict=True))
        return tuple(values.get(place, value) for place, value in enumerate(row))

    def _read(self, keys: Sequence[Key]) -> Mapping[Key, Sequence[Any]]:
        bulk, width = self._bulk, len(self.key)
        columns = [*bulk.dml.expressions(self.key), *self._elements.values()]
        statement: Select[Any] = select(*labelled(columns)).where(bulk.key_is_in(keys))
        if len(self._tables) > 1 and bulk.dml.mapper is not None:
            statement = statement.select_from(bulk.dml.mapper.selectable)
        return {tuple(row[:width]): tuple(row[width:]) for row in bulk.read(statement, {})} if keys else {}


def _following(
    returning: Sequence[Any], tables: set[Table], source: Source, plan: Plan
) -> dict[int, ColumnElement[Any]]:
    """Return the elements that read values which an UPDATE of the row itself may change, by their positions."""
    values = {value.column for value in source.same_row}
    values |= {machine.value.column for machine in plan.machines if machine.source is source}
    for host in [host for host in plan.hosts.values() if host.source is source]:
        # rows of the same statement may be members, and members of other statements may have existed before
        if any(edge.member is source or edge.is_deferred or not edge.has_foreign_key for edge in host.edges):
            values |= {value.column for value in host.values}
    found: dict[int, ColumnElement[Any]] = {}
    place = 0
    for element in returning if values else ():
        columns: Sequence[Any] = [element]
        if not isinstance(element, ColumnElement):  # a table, or a class, whose objects are updated
            is_class = "parententity" in getattr(element, "_annotations", {})
            columns = [None] if is_class else list(element.c) if isinstance(element, Table) else []
            if not columns:
                return {}
        for column in columns:
            if column is not None and _reads(column, values, tables):
                found[place] = column
            place += 1
    return found


def _reads(element: ColumnElement[Any], values: set[Column[Any]], tables: set[Table]) -> bool:
    read = {base for part in visitors.iterate(element) for base in getattr(part, "base_columns", ())}
    found = {getattr(column, "table", None) for column in read if isinstance(column, Column)}
    # elements that read other tables too cannot be read again without the joins of the statement
    return bool(read & values) and found <= tables
