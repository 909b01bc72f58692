"""Checks before operations that existing rows may violate: NOT NULL, CHECK, foreign keys."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from alembic.operations import MigrateOperation
from alembic.operations.ops import (
    AddColumnOp,
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    ModifyTableOps,
)
from sqlalchemy import Dialect

from .operations import CheckRows
from .partial_indexes import spelled


def checks_of(
    operation: MigrateOperation, container: ModifyTableOps, dialect: Dialect, added: AbstractSet[str]
) -> Iterator[CheckRows]:
    """Yield the checks for rows that would make ``operation`` fail.

    :param added: the columns that the same revision adds to the table.
    """
    quote = dialect.identifier_preparer.quote
    match operation:
        case AddColumnOp(column=column):
            has_value = column.server_default is not None or column.identity is not None or column.computed is not None
            if not column.nullable and not has_value:
                told = f"{container.table_name}.{column.name}, which is NOT NULL and has no default"
                yield _check(told, container, "1 = 1", ())
        case AlterColumnOp(modify_nullable=False, column_name=name) if name not in added:
            yield _check(f"NOT NULL of {container.table_name}.{name}", container, f"{quote(name)} IS NULL", (name,))
        case CreateForeignKeyOp(local_cols=local, remote_cols=remote) if added.isdisjoint(local):
            table = _qualified(dialect, container.schema, container.table_name)
            schema = operation.kw.get("referent_schema")
            referred = _qualified(dialect, schema, operation.referent_table)
            pairs = [
                f"referred.{quote(there)} = {table}.{quote(here)}" for here, there in zip(local, remote, strict=True)
            ]
            orphans = " AND ".join(
                [
                    *(f"{quote(name)} IS NOT NULL" for name in local),
                    f"NOT EXISTS (SELECT 1 FROM {referred} AS referred WHERE {' AND '.join(pairs)})",
                ]
            )
            told = str(operation.constraint_name or f"the foreign key to {operation.referent_table}")
            yield _check(told, container, orphans, local)
        case CreateCheckConstraintOp():
            condition: Any = operation.condition
            sql = condition if isinstance(condition, str) else spelled(condition, dialect)
            if not any(name in sql for name in added):
                yield _check(str(operation.constraint_name or "a CHECK constraint"), container, f"NOT ({sql})", ())
        case _:
            pass


def _check(told: str, container: ModifyTableOps, where: str, columns: Any) -> CheckRows:
    return CheckRows(told, container.table_name, where, list(map(str, columns)), schema=container.schema)


def _qualified(dialect: Dialect, schema: str | None, table: str) -> str:
    quote = dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(table)}" if schema else quote(table)
