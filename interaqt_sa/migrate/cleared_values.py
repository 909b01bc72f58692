"""Computed columns of SQLite whose stored values cannot be read as their new type, such as text as JSON."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from alembic.operations import MigrateOperation
from alembic.operations.ops import AlterColumnOp, ExecuteSQLOp, ModifyTableOps, UpgradeOps
from sqlalchemy import Boolean, Column, Dialect, Enum, Float, Integer, LargeBinary, Numeric, String, update
from sqlalchemy import text as literal_sql
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..dialects.not_null_placeholders import literal_for
from .noop_operation import Note

#: types whose values are read whatever they are
_PLAIN = (Boolean, Float, Integer, LargeBinary, Numeric, String)


class ClearValues(ExecuteSQLOp):
    """Set a column to a value of its type, or NULL, until its back-fill."""

    def reverse(self) -> MigrateOperation:
        return Note("the values are replaced after the type", self)


def clear_unreadable(dialect: Dialect, upgrade_ops: UpgradeOps, filled: Collection[Column[Any]]) -> None:
    """Clear the columns of ``filled`` whose type ``upgrade_ops`` changes to one that is parsed, or back."""
    columns = {(column.table.schema, column.table.name, column.name): column for column in filled}
    for place, container in reversed(list(enumerate(upgrade_ops.ops))):
        if not isinstance(container, ModifyTableOps):
            continue
        for operation in container.ops:
            if isinstance(operation, AlterColumnOp) and operation.modify_type is not None:
                column = columns.get((container.schema, container.table_name, operation.column_name))
                if column is not None:
                    upgrade_ops.ops[place : place + 1] = _steps(container, operation, column, dialect)
                    break


def _steps(
    container: ModifyTableOps, operation: AlterColumnOp, column: Column[Any], dialect: Dialect
) -> Iterator[MigrateOperation]:
    before: Any = operation.existing_type
    if undone := _clearing(column, before, dialect, is_required=operation.existing_nullable is False):
        yield Note("a downgrade clears the values", undone)
    yield container
    if done := _clearing(column, column.type, dialect, is_required=not column.nullable):
        yield done


def _is_parsed(type_: TypeEngine[Any]) -> bool:
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    return isinstance(type_, Enum) or not isinstance(type_, _PLAIN)


def _clearing(
    column: Column[Any], type_: TypeEngine[Any] | None, dialect: Dialect, *, is_required: bool
) -> ClearValues | None:
    if type_ is None or not _is_parsed(type_):
        return None
    value = literal_for(type_, dialect) if is_required else "NULL"
    if value is None:
        return None
    statement = update(column.table).values({column: literal_sql(value.replace(":", r"\:"))})
    return ClearValues(str(statement.compile(dialect=dialect)).replace(":", r"\:"))
