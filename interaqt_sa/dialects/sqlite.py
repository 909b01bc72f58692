"""SQLite: JSON parameters, a single writer, exact decimals in Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Float,
    FromClause,
    Integer,
    Interval,
    Select,
    String,
    Table,
    Time,
    case,
    cast,
    column,
    func,
    select,
    text,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.types import NullType, TypeEngine

from .base import NO_VALUES, DatabaseDialect, Lock, RowShape, named, parameter
from .execution_options import ENGINE_OPTIONS
from .running_sum_type import RunningSum
from .sqlite_decimals import (
    DECIMAL_FUNCTIONS,
    LostDigits,
    add_to_float,
    exact_add,
    exact_decimal,
    exact_subtract,
    exact_sum,
    nearest_float,
    nearest_rounded_float,
)
from .sqlite_json_parameters import DECODE, decoded, encoded, is_plain
from .undecorated_types import stored_type

#: key of ``Connection.info``: the :class:`.LostDigits` of the functions that are registered on the connection
_DEFINED = "interaqt_sa.functions"
#: decimal places to which SQLAlchemy converts a float to a Decimal
_DEFAULT_PLACES = 10
#: SQLite's own limit, SQLITE_MAX_LIKE_PATTERN_LENGTH
_LONGEST_PATTERN = 50_000
_HAS_TRIGGERS = text(
    "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(:name) "
    "UNION ALL SELECT 1 FROM sqlite_temp_master WHERE type = 'trigger' AND lower(tbl_name) = lower(:name))"
)


class SQLiteDialect(DatabaseDialect):
    """SQLite 3.35 and later, for ``UPDATE … FROM`` and ``RETURNING``."""

    name = "sqlite"
    has_row_locks = False
    sorts_null_last = False
    has_isolation_levels = False
    checks_lengths = False
    stores_nul = True
    stores_decimals = False
    refuses_overflow = False
    chains_updates = False
    returns_joined = False
    rounds_values = False
    # SQLite 3.40 treats a column there as NOT NULL if the one before it is, and returns a wrong result
    returns_null_tests = False

    @classmethod
    def insert(cls, into: Any) -> Any:
        return insert(into)

    @classmethod
    def integer_bits(cls, type_: TypeEngine[Any]) -> int:  # noqa: ARG003
        return 63

    @classmethod
    def pattern_fault(cls, pattern: str) -> str | None:
        # a lone surrogate, which is refused by its own check, has no UTF-8
        is_long = len(pattern.encode(errors="replace")) > _LONGEST_PATTERN
        return f"a pattern must not be longer than {_LONGEST_PATTERN} bytes" if is_long else None

    def has_triggers(self, connection: Connection, table: Table) -> bool:
        return bool(connection.scalar(_HAS_TRIGGERS, {"name": table.name}, execution_options=ENGINE_OPTIONS))

    def row_set(self, name: str, shape: RowShape, values: Mapping[str, Any] = NO_VALUES) -> FromClause:
        rows = func.json_each(parameter(named(name), String(), values)).table_valued(
            column("value"), name=f"{name}_json"
        )
        fields = [
            type_coerce(_field(rows.c.value, i, type_), type_).label(field) for i, (field, type_) in enumerate(shape)
        ]
        return select(*fields).select_from(rows).subquery(name)

    def pack(self, name: str, shape: RowShape, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        # JSON contains the values that the driver would store, so each type's bind processor is applied first
        columns = [self._packing(type_) for _, type_ in shape]
        if not any(columns):
            return {named(name): json.dumps([tuple(row) for row in rows])}
        packed = [[f(v) if f else v for f, v in zip(columns, row, strict=True)] for row in rows]
        return {named(name): json.dumps(packed, ensure_ascii=False)}

    def _packing(self, type_: TypeEngine[Any]) -> Callable[[Any], Any] | None:
        """Return the function that converts a value of ``type_`` for JSON, ``None`` if it needs no conversion."""
        bind = type_.dialect_impl(self.sqlalchemy_dialect).bind_processor(self.sqlalchemy_dialect)
        if isinstance(type_, Integer) and bind is None:
            return None
        return encoded if bind is None else lambda value: encoded(bind(value))

    def prepare(self, connection: Connection) -> None:
        if _DEFINED not in connection.info:
            driver: Any = connection.connection
            lost = LostDigits()
            adding = ("iq__add_to_float", 3, lost.add_to_float)
            for name, count, function in ((DECODE, 2, decoded), adding, *DECIMAL_FUNCTIONS):
                driver.create_function(name, count, function, deterministic=True)
            connection.info[_DEFINED] = lost
        _go_on(connection.connection.dbapi_connection)

    def returned(self, column: Column[Any]) -> ColumnElement[Any]:
        # SQLite stores 4.0 as the integer 4, and RETURNING returns that
        return cast(column, column.type) if isinstance(stored_type(column.type), Float) else column

    def contains(
        self,
        columns: Sequence[ColumnElement[Any]],
        name: str,
        shape: RowShape,
        values: Mapping[str, Any] = NO_VALUES,
    ) -> ColumnElement[bool]:
        rows = self.row_set(name, shape, values)
        left = columns[0] if len(columns) == 1 else tuple_(*columns)
        return left.in_(select(*rows.c))

    def fold_name(self, name: str) -> str:
        return str.lower(name)  # quoted or not

    def lock(self, statement: Select[Any], lock: Lock, of: FromClause, *, skips_locked: bool = False) -> Select[Any]:
        return statement

    def number_type(self, column: Column[Any]) -> TypeEngine[Any]:
        return RunningSum() if _is_decimal(column) else super().number_type(column)

    def as_stored(self, value: ColumnElement[Any], column: Column[Any]) -> ColumnElement[Any]:
        # a cast to DATE would convert the text to a number
        is_text = isinstance(stored_type(column.type), (Date, DateTime, Time, Interval))
        return type_coerce(value, column.type) if is_text else super().as_stored(value, column)

    def transport_type(self, type_: TypeEngine[Any]) -> TypeEngine[Any]:
        return NullType()  # the driver's own values: SQLAlchemy's conversion of a float may not restore it

    def change(self, column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
        return exact_decimal(value) if _is_decimal(column) else super().change(column, value)

    def total(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        return exact_sum(change) if _is_decimal(column) else super().total(column, change)

    def plus(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        if not _is_decimal(column):
            return super().plus(column, change)
        if isinstance(column.type, RunningSum) or isinstance(stored_type(column.type), Float):
            return self.stored(column, exact_add(column, change))
        return add_to_float(column, change, _places(column))

    def lost_digits(self, connection: Connection) -> bool:
        lost: LostDigits | None = connection.info.get(_DEFINED)
        if lost is None or not lost.found:
            return False
        lost.found = False
        return True

    def minus(self, column: Column[Any], change: ColumnElement[Any]) -> ColumnElement[Any]:
        if not _is_decimal(column):
            return super().minus(column, change)
        return self.stored(column, exact_subtract(column, change))

    def stored(self, column: Column[Any], total: ColumnElement[Any]) -> ColumnElement[Any]:
        if isinstance(column.type, RunningSum) or not _is_decimal(column):
            return total
        # the computed column itself is a float, rounded to the scale of its type
        if isinstance(stored_type(column.type), Float):
            return nearest_float(total)
        return nearest_rounded_float(total, _places(column))

    def operand(self, column: Column[Any], state: ColumnElement[Any]) -> ColumnElement[Any]:
        return nearest_float(state) if isinstance(column.type, RunningSum) else state


def _is_decimal(column: Column[Any]) -> bool:
    """Whether deltas of a running column are summed as exact decimals."""
    return not isinstance(stored_type(column.type), (Integer, Boolean))


def _places(column: Column[Any]) -> int:
    scale: int | None = getattr(stored_type(column.type), "scale", None)
    return _DEFAULT_PLACES if scale is None else scale


def _field(row: ColumnElement[Any], place: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return one field of a JSON row."""
    path = f"$[{place}]"
    value = func.json_extract(row, path)
    if is_plain(type_):
        return value
    parts = (func.json_extract(row, f"{path}[{i}]") for i in range(2))
    return case((func.json_type(row, path) == "array", getattr(func, DECODE)(*parts)), else_=value)


def _go_on(raw: Any) -> None:
    """Begin a transaction again that the database itself has ended, as ON CONFLICT ROLLBACK does.

    Without it the driver's next statements would be committed one by one.
    """
    driver = getattr(raw, "driver_connection", raw)  # the adapter of an asynchronous driver
    if raw.isolation_level is None and not getattr(driver, "in_transaction", True):
        cursor = raw.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        cursor.close()
