"""SQLite: JSON parameters and a single writer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Dialect,
    Float,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    case,
    cast,
    column,
    func,
    select,
    text,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects.sqlite.base import SQLiteDialect as SQLAlchemySQLiteDialect
from sqlalchemy.types import TypeEngine

from ...schema.computed import stored_type
from ..execution import ENGINE_OPTIONS
from .base import NO_VALUES, EngineDialect, Lock, RowShape, named, parameter
from .sqlite_values import DECODE, define_functions, encoded, is_plain

_HAS_TRIGGERS = text(
    "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(:name) "
    "UNION ALL SELECT 1 FROM sqlite_temp_master WHERE type = 'trigger' AND lower(tbl_name) = lower(:name))"
)


class SQLiteDialect(EngineDialect):
    """SQLite 3.35 and later, for ``UPDATE … FROM`` and ``RETURNING``."""

    has_row_locks = False
    chains_updates = False
    returns_joined = False
    has_decimals = False
    rounds_values = False

    @classmethod
    def serves(cls, dialect: Dialect) -> bool:
        return isinstance(dialect, SQLAlchemySQLiteDialect)

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
        # JSON carries what the driver would store, so every type's own bind processor comes first
        columns = [self._packing(type_) for _, type_ in shape]
        if not any(columns):
            return {named(name): json.dumps([tuple(row) for row in rows])}
        packed = [[f(v) if f else v for f, v in zip(columns, row, strict=True)] for row in rows]
        return {named(name): json.dumps(packed, ensure_ascii=False)}

    def _packing(self, type_: TypeEngine[Any]) -> Callable[[Any], Any] | None:
        """Return what makes a value of ``type_`` one that JSON takes."""
        bind = type_.dialect_impl(self.sqlalchemy_dialect).bind_processor(self.sqlalchemy_dialect)
        if isinstance(type_, Integer) and bind is None:
            return None
        return encoded if bind is None else lambda value: encoded(bind(value))

    def prepare(self, connection: Connection) -> None:
        define_functions(connection)

    def returned(self, column: Column[Any]) -> ColumnElement[Any]:
        # it keeps 4.0 as 4, which RETURNING gives away
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

    def lock(self, statement: Select[Any], lock: Lock, of: FromClause) -> Select[Any]:
        return statement


def _field(row: ColumnElement[Any], place: int, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """Return one value of a row."""
    path = f"$[{place}]"
    value = func.json_extract(row, path)
    if is_plain(type_):
        return value
    parts = (func.json_extract(row, f"{path}[{i}]") for i in range(2))
    return case((func.json_type(row, path) == "array", getattr(func, DECODE)(*parts)), else_=value)
