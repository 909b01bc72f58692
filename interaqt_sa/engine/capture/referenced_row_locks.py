"""Lock the rows that a DML statement will make other rows refer to, in the lock order.

Foreign key checks would lock them too, but row by row and in the order of the columns; and what contributions read
along the new references would be locked only after the write, when hosts are locked already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Any

from sqlalchemy import ClauseElement, Column, ColumnElement, Select, TextClause, select
from sqlalchemy.orm import Mapper
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ColumnClause

from ..database.pending_deltas import Touched
from ..locking.lock_pass import LockPass
from ..plan import Key, RowReference, Source, Watch, references_of, watch_of
from ..propagation.propagation import Propagation
from .dml_statement import DMLStatement, known_value, one_of_each

#: the values of one row by attribute; a ClauseElement is a value known only to the database
Values = Mapping[str, Any]


class Given:
    """The values that a DML statement assigns to references of its rows."""

    def __init__(self, dml: DMLStatement, propagation: Propagation, source: Source, mapper: Mapper[Any] | None) -> None:
        self._dml = dml
        self._propagation = propagation
        self._plan = propagation.db.statements.plan
        self._source = source
        self._mapper = mapper
        self._watch: Watch | None = watch_of(self._plan, mapper.class_) if mapper is not None else None

    def locks(self, touched: Mapping[Source, Touched], rows: Sequence[Values]) -> LockPass:
        """Return the lock pass of the write.

        :param rows: the result of one of the methods below, or rows by attribute.
        """
        watch, plan = self._watch, self._plan
        edges = [edge for edge, _ in watch.edge_keys] if watch is not None else []
        checked = references_of(plan, self._mapper.class_) if self._mapper is not None else ()
        found = {reference: keys for reference in checked if (keys := _keys(reference, rows))}
        referred = [reference.target for reference in found]
        locks = LockPass(self._propagation.reader, touched, referred=referred, edges=edges)
        for reference, keys in found.items():
            for key in keys:
                locks.add_referred(reference.target, key)
        if watch is None:
            return locks
        for edge, reference in watch.host_references:
            for key in _keys(reference, rows):
                locks.add_host_over(edge, key)
        for neighbour in (*watch.neighbours, *watch.beyond):
            for key in _keys(neighbour.reference, rows):
                locks.add_neighbour(neighbour.reference.target, key, neighbour.lock, checked=neighbour.checked)
        return locks

    def refers_below(self, columns: AbstractSet[Column[Any]]) -> bool:
        """Whether a change of ``columns`` refers to rows that must be locked before the changed ones."""
        names = {c.key for c in columns}
        return any(
            reference.target.rank < self._source.rank and not names.isdisjoint(map(self._key, reference.attributes))
            for reference in self._references()
        )

    def inserted(self) -> Sequence[Values]:
        """Return the values that an INSERT assigns; those of ``INSERT … SELECT`` are unknown."""
        dml = self._dml
        fixed = self._by_attribute(dml.values())
        listed = dml.rows_of_values()
        rows = self._distinct(listed, in_rows=False) if listed else self._distinct(dml.rows or [dml.parameters])
        return [fixed | row for row in rows]

    def of_columns(self, rows: Iterable[Mapping[Column[Any], Any]]) -> Sequence[Values]:
        """Return the values of rows given by column."""
        return [self._by_attribute(row) for row in rows]

    def updated_by_key(self) -> Sequence[Values]:
        """Return the values that an UPDATE with a list of rows, each with its key, assigns."""
        return self._distinct(self._dml.rows)

    def updated(
        self, keys: Sequence[Key], criteria: Callable[[], Sequence[Any]], read: Callable[[Any, Any], Iterable[Any]]
    ) -> Sequence[Values]:
        """Return the values that an UPDATE assigns to rows, which are locked unless there are several parameter sets.

        Values of expressions are read from the database, which returns the latest version of a locked row. An
        expression that reads other rows may have another value at the time of the write; the row that it then refers to
        is locked after the write, without order.

        :param criteria: returns the criteria of the rows.
        :param read: runs a SELECT built from parts of the statement.
        """
        dml = self._dml
        if not keys or not self._propagation.db.dialect.has_row_locks:
            return []
        fixed, parameter_sets = self._by_attribute(dml.values()), dml.rows or [dml.parameters]
        rows = [fixed | self._by_attribute(dml.by_column(row, in_rows=True)) for row in parameter_sets]
        unknown = self._unknown(rows[0])
        if not unknown:
            return rows
        labels = [expression.label(f"v{i}") for i, expression in enumerate(unknown.values())]
        statement: Select[Any] = select(*labels).where(*criteria()).distinct()
        found: list[dict[str, Any]] = []
        for row, parameters in zip(rows, parameter_sets, strict=True):
            found += [row | dict(zip(unknown, values, strict=True)) for values in read(statement, parameters)]
        return found

    def _unknown(self, row: Values) -> dict[str, ColumnElement[Any]]:
        """Return expressions for those attributes of changed references that have no known value in ``row``."""
        found: dict[str, ColumnElement[Any]] = {}
        for reference in self._references():
            if not row.keys() & set(reference.attributes):
                continue  # unchanged: the referenced row is found from the stored row
            for name in reference.attributes:
                value = row[name] if name in row else self._column(name)
                if isinstance(value, ColumnElement) and _is_expression(value):
                    found[name] = value
        return found

    def _references(self) -> Iterator[RowReference]:
        if self._mapper is not None:
            yield from references_of(self._plan, self._mapper.class_)
        if self._watch is not None:
            yield from (reference for _, reference in self._watch.host_references)
            for neighbour in (*self._watch.neighbours, *self._watch.beyond):
                yield neighbour.reference

    def _key(self, attribute: str) -> str:
        assert self._mapper is not None
        return str(self._mapper.column_attrs[attribute].columns[0].key)

    def _column(self, attribute: str) -> Any:
        column = self._dml.table.c.get(self._key(attribute))
        return column if column is None else self._dml.expression(column)

    def _by_attribute(self, row: Mapping[Column[Any], Any]) -> dict[str, Any]:
        return {self._attribute(column): known_value(value) for column, value in row.items()}

    def _distinct(self, rows: Sequence[Mapping[Any, Any]], *, in_rows: bool = True) -> list[dict[str, Any]]:
        """Return the distinct values that rows, possibly many, assign to references.

        :param in_rows: whether they are the parameter sets of the statement.
        """
        has_locks = self._propagation.db.dialect.has_row_locks
        references = {name for r in self._references() for name in r.attributes} if has_locks else ()
        wanted: list[tuple[Any, str]] = []
        each = self._dml.each_name if in_rows else one_of_each(rows)
        for name, value in each.items() if references else ():
            pairs = list(self._dml.assigned(name, value, in_rows=in_rows))
            if len(pairs) == 1 and pairs[0][1] is value and self._attribute(pairs[0][0]) in references:
                wanted.append((name, self._attribute(pairs[0][0])))
        if not wanted:
            return []
        # the first name is repeated, so that the result is always a tuple
        get = itemgetter(*(name for name, _ in wanted), wanted[0][0])
        try:
            found = set(map(get, rows))
        except KeyError:  # some rows omit a name, so that the database sets the value
            found = {tuple(row.get(name) for name, _ in wanted) for row in rows}
        return [dict(zip((a for _, a in wanted), map(known_value, values), strict=False)) for values in found]

    def _attribute(self, column: Column[Any]) -> str:
        """Return the name of the attribute for ``column``."""
        if self._mapper is None or not self._mapper.columns.contains_column(column):
            return str(column.key)
        return self._mapper.get_property_by_column(column).key


def _keys(reference: RowReference, rows: Sequence[Values]) -> Collection[Key]:
    """Return the known keys of the rows that ``rows`` refer to."""
    names = reference.attributes
    found = {tuple(row.get(name) for name in names): None for row in rows}
    return [key for key in found if not any(part is None or isinstance(part, ClauseElement) for part in key)]


def _is_expression(value: ColumnElement[Any]) -> bool:
    """Whether a SELECT can evaluate ``value``: text may contain what is valid only in SET."""
    parts = visitors.iterate(value)
    return not any(isinstance(p, TextClause) or (isinstance(p, ColumnClause) and p.is_literal) for p in parts)
