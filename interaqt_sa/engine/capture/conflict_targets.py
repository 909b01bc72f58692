"""Find the unique keys by which rows of an INSERT may conflict with existing rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Select,
    String,
    Table,
    Text,
    TextClause,
    Unicode,
    UnicodeText,
    UniqueConstraint,
    Uuid,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import ClauseElement, UnaryExpression
from sqlalchemy.types import TEXT, VARCHAR, TypeEngine

from ...dialects import DatabaseDialect
from ...dialects.base import named
from ...dialects.unique_key_options import POSTGRESQL, SQLITE, has_equal_nulls, index_predicate
from ...errors import UnmanagedWriteError
from ..plan.column_replacement import labelled, replace_columns
from .dml_statement import DMLStatement, conflict_clauses

#: the known values of a row of an INSERT
Values = Mapping[Column[Any], Any]

_PLACE = named("n")
#: text types that compare like Python's strings, unless they have a collation
_EXACT_TEXTS = frozenset({String, Text, Unicode, UnicodeText, VARCHAR, TEXT})
#: the length to which PostgreSQL truncates names
_NAME_LENGTH = 63


class ConflictTarget:
    """One unique key of a table: expressions over its rows.

    :param elements: columns and other expressions.
    :param where: criterion of a partial index; ``None`` for all rows.
    :param nulls_equal: whether two rows with NULL conflict (``NULLS NOT DISTINCT``).
    """

    def __init__(
        self, table: Table, elements: Sequence[ColumnElement[Any]], where: Any = None, *, nulls_equal: bool = False
    ) -> None:
        self.table = table
        self.elements = tuple(elements)
        self.where = where
        self.nulls_equal = nulls_equal

    @cached_property
    def columns(self) -> Sequence[Column[Any]]:
        """The columns that the elements read."""
        return tuple(dict.fromkeys(column for element in self.elements for column in _read_by(element, self.table)))

    @cached_property
    def is_plain(self) -> bool:
        """Whether it consists of columns only and applies to all rows."""
        return self.where is None and not self.nulls_equal and all(isinstance(e, Column) for e in self.elements)

    @cached_property
    def is_exact(self) -> bool:
        """Whether Python and the database agree on which values are equal."""
        return all(isinstance(element, Column) and _is_exact(element.type) for element in self.elements)

    def key_of(self, row: Values) -> tuple[Any, ...]:
        """Return the values in ``row`` of the columns that the elements read.

        :raises UnmanagedWriteError: if one of them is unknown.
        """
        return tuple(_value_in(row, column) for column in self.columns)

    def is_free(self, key: Sequence[Any]) -> bool:
        """Whether a row with these values cannot conflict with any."""
        return not self.nulls_equal and None in key and all(isinstance(element, Column) for element in self.elements)

    # -- statements ---------------------------------------------------------------------------------------------

    @cached_property
    def _fields(self) -> Mapping[Column[Any], str]:
        # SQL text refers to columns by their names
        return {column: column.name if self._has_text else f"c{i}" for i, column in enumerate(self.columns)}

    @cached_property
    def _has_text(self) -> bool:
        return any(getattr(part, "is_literal", False) for e in self.elements for part in visitors.iterate(e))

    @cached_property
    def _shape(self) -> Sequence[tuple[str, TypeEngine[Any]]]:
        return ((_PLACE, Integer()), *((self._fields[column], column.type) for column in self.columns))

    @property
    def _set_name(self) -> str:
        return self.table.name if self._has_text else "given_rows"

    def packed(self, dialect: DatabaseDialect, keys: Mapping[int, Sequence[Any]]) -> dict[str, Any]:
        """Return the parameters of the statements below.

        :param keys: results of :meth:`key_of`, by the numbers of the rows.
        """
        return dialect.pack(self._set_name, self._shape, [(n, *key) for n, key in keys.items()])

    def find(self, dialect: DatabaseDialect, key: Sequence[Column[Any]], *, widely: bool) -> Select[Any]:
        """Return a SELECT of the numbers of rows, each with the ``key`` of a row that it conflicts with.

        :param widely: whether to include rows that ``where`` excludes.
        """
        given = self._given(dialect).subquery("given")
        pairs = zip(self.elements, [*given.c][1:], strict=True)
        equal = [a.is_not_distinct_from(b) if self.nulls_equal else a == b for a, b in pairs]
        statement = select(given.c[_PLACE], *labelled(key)).select_from(given.join(self.table, and_(*equal)))
        return statement if self.where is None or widely else statement.where(self.where)

    def group(self, dialect: DatabaseDialect) -> Select[Any]:
        """Return a SELECT of the numbers of rows, each with the number of the first row that it conflicts with."""
        given = self._given(dialect).subquery("given")
        place, parts = given.c[_PLACE], [*given.c][1:]
        first: ColumnElement[Any] = func.min(place).over(partition_by=parts)
        if not self.nulls_equal:
            first = case((or_(*(part.is_(None) for part in parts)), place), else_=first)
        columns: list[ColumnElement[Any]] = [place, first]
        return select(*columns)

    def _given(self, dialect: DatabaseDialect) -> Select[Any]:
        rows = dialect.row_set(self._set_name, self._shape)
        held = {column: _collated(rows.c[field], column) for column, field in self._fields.items()}
        parts = [replace_columns(element, held).label(f"e{i}") for i, element in enumerate(self.elements)]
        return select(rows.c[_PLACE], *parts)


def conflict_targets(dml: DMLStatement) -> Iterator[ConflictTarget]:
    """Yield the unique keys that the conflict clauses of an INSERT name.

    :raises UnmanagedWriteError: if the Table does not have one of them.
    """
    for clause in conflict_clauses(dml.statement):
        name = getattr(clause, "constraint_target", None)
        if name is not None:
            yield _target_by_name(dml.table, str(name))
        elif clause.inferred_target_elements is None:
            yield from unique_keys(dml.table, SQLITE)
        else:
            elements = [_own(element, dml.table) for element in clause.inferred_target_elements]
            where = clause.inferred_target_whereclause
            yield ConflictTarget(
                dml.table,
                elements,
                _own(where, dml.table) if isinstance(where, ColumnElement) else where,
                nulls_equal=_takes_nulls_as_equal(dml.table, elements),
            )


def unique_keys(table: Table, dialect: str) -> Iterator[ConflictTarget]:
    """Yield all unique keys of a table."""
    if table.primary_key.columns:
        yield ConflictTarget(table, list(table.primary_key.columns))
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield _of_constraint(table, constraint)
    for index in table.indexes:
        if index.unique:
            yield _of_index(table, index, dialect)


def _of_constraint(table: Table, constraint: UniqueConstraint | PrimaryKeyConstraint) -> ConflictTarget:
    columns = list(constraint.columns)
    return ConflictTarget(table, columns, nulls_equal=has_equal_nulls(constraint))


def _of_index(table: Table, index: Index, dialect: str) -> ConflictTarget:
    elements = [_own(element, table) for element in index.expressions]
    where = index_predicate(index, dialect)
    return ConflictTarget(table, elements, where, nulls_equal=has_equal_nulls(index))


def _takes_nulls_as_equal(table: Table, elements: Sequence[ColumnElement[Any]]) -> bool:
    wanted = {str(element) for element in elements}
    keys = (key for key in unique_keys(table, POSTGRESQL) if key.nulls_equal)
    return any({str(element) for element in key.elements} == wanted for key in keys)


def _target_by_name(table: Table, name: str) -> ConflictTarget:
    for constraint in table.constraints:
        is_key = isinstance(constraint, (UniqueConstraint, PrimaryKeyConstraint))
        if is_key and name in (str(constraint.name), _default_name(table, constraint)):
            return _of_constraint(table, constraint)  # type: ignore[arg-type]
    for index in table.indexes:
        if index.unique and index.name is not None and str(index.name) == name:
            return _of_index(table, index, POSTGRESQL)
    raise UnmanagedWriteError(
        f"ON CONFLICT ON CONSTRAINT {name!r} into {table.name!r}: the Table has no unique constraint of this name, so "
        "that the rows to update are unknown; declare the constraint, or pass index_elements",
        table=table.fullname,
    )


def _default_name(table: Table, constraint: Any) -> str | None:
    """Return the name that PostgreSQL gives to an unnamed constraint."""
    if constraint.name is not None:
        return None
    if isinstance(constraint, PrimaryKeyConstraint):
        return f"{table.name}_pkey"[:_NAME_LENGTH]
    return f"{table.name}_{'_'.join(c.name for c in constraint.columns)}_key"[:_NAME_LENGTH]


def _own(element: Any, table: Table) -> ColumnElement[Any]:
    """Return an index element as an expression over ``table``.

    :raises UnmanagedWriteError: if it is the name of a column that the table does not have.
    """
    if isinstance(element, str):
        found = next((c for c in table.columns if c.name == element), table.c.get(element))
        if found is None:
            raise UnmanagedWriteError(
                f"ON CONFLICT into {table.name!r}: the Table has no column {element!r}; name an existing column",
                table=table.fullname,
            )
        return found
    if isinstance(element, TextClause):
        return literal_column(element.text)
    while isinstance(element, UnaryExpression) and element.modifier is not None:
        element = element.element  # DESC, NULLS FIRST
    by_name = {column.name: column for column in table.columns}
    own = {p: by_name[p.name] for p in visitors.iterate(element) if isinstance(p, Column) and p.name in by_name}
    return replace_columns(element, own)


def _collated(value: ColumnElement[Any], column: Column[Any]) -> ColumnElement[Any]:
    """Return a value with the collation of ``column``, to be compared as the column is."""
    collation = getattr(column.type, "collation", None)
    return value.collate(collation) if collation else value


def _read_by(element: ColumnElement[Any], table: Table) -> Iterable[Column[Any]]:
    parts: list[Any] = list(visitors.iterate(element))
    yield from (part for part in parts if isinstance(part, Column))
    text = " ".join(str(part.name) for part in parts if getattr(part, "is_literal", False))
    if text:
        yield from (c for c in table.columns if re.search(rf"(?<!\w){re.escape(c.name)}(?!\w)", text, re.IGNORECASE))


def _is_exact(type_: TypeEngine[Any]) -> bool:
    if type(type_) in _EXACT_TEXTS:
        return getattr(type_, "collation", None) is None
    return isinstance(type_, (Integer, Uuid))


def _value_in(row: Values, column: Column[Any]) -> Any:
    if column in row:
        value = row[column]
        if isinstance(value, ClauseElement):
            raise _untold(column)
        return value
    default: Any = column.default
    if default is not None and default.is_scalar:
        return default.arg
    is_counted = column.identity is not None or (default is not None and default.is_sequence)
    if is_counted or (default is None and column.server_default is None):
        return None  # a generated number that is not in use yet, or NULL
    raise _untold(column)


def _untold(column: Column[Any]) -> UnmanagedWriteError:
    return UnmanagedWriteError(
        f"ON CONFLICT into {column.table.name!r}: each row must give a value for {column.name!r}, which is needed to "
        "find conflicts",
        table=str(column.table.name),
    )
