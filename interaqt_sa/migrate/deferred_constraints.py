"""Move constraints on existing rows out of the first revision, to add them later while others write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from alembic.operations import MigrateOperation
from alembic.operations.ops import (
    AlterColumnOp,
    CreateCheckConstraintOp,
    CreateForeignKeyOp,
    ModifyTableOps,
)
from sqlalchemy import Connection, text

from .constraint_operations import SetNotNull, ValidateConstraint

_Name = tuple[str | None, str]
_OPTION = "postgresql_not_valid"
_PARTITIONED = text(
    "SELECT CASE WHEN n.nspname <> current_schema() THEN n.nspname END, c.relname"
    " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'p'"
)


def take_requirements(
    operations: Sequence[MigrateOperation], created: AbstractSet[_Name], partitioned: AbstractSet[_Name]
) -> Iterator[MigrateOperation]:
    """Remove NOT NULL from ``operations`` and add constraints as NOT VALID; yield the operations that complete them.

    :param created: tables that have no rows yet, because the same revision creates them.
    :param partitioned: tables for which PostgreSQL does not support foreign keys that are NOT VALID.
    """
    for container in operations:
        if not isinstance(container, ModifyTableOps) or (container.schema, container.table_name) in created:
            continue
        table, schema = container.table_name, container.schema
        for operation in list(container.ops):
            match operation:
                case AlterColumnOp(modify_nullable=False):
                    for found in split_not_null(container, operation):
                        yield SetNotNull(table, found.column_name, schema=schema, subject=found)
                case CreateForeignKeyOp() if (schema, table) not in partitioned and not operation.kw.get(_OPTION):
                    operation.kw[_OPTION] = True
                    name = operation.constraint_name
                    columns = [] if name else list(map(str, operation.local_cols))
                    yield ValidateConstraint(str(name) if name else None, table, columns, schema=schema)
                case CreateCheckConstraintOp(constraint_name=str(name)) if not operation.kw.get(_OPTION):
                    operation.kw[_OPTION] = True
                    yield ValidateConstraint(str(name), table, schema=schema)
                case _:
                    pass


def split_not_null(container: ModifyTableOps, operation: AlterColumnOp) -> Iterator[AlterColumnOp]:
    """Remove NOT NULL from ``operation``, or the whole operation if nothing else is left, and yield it."""
    if operation.modify_nullable is not False:
        return
    operation.modify_nullable = None
    operation.existing_nullable = True
    changed = operation.modify_type if operation.modify_type is not None else operation.existing_type
    existing: Any = operation.existing_server_default
    default: Any = existing if operation.modify_server_default is False else operation.modify_server_default
    yield AlterColumnOp(
        operation.table_name,
        operation.column_name,
        schema=operation.schema,
        existing_type=changed,
        existing_server_default=default,
        existing_nullable=True,
        modify_nullable=False,
    )
    if not operation.has_changes():
        container.ops.remove(operation)


def partitioned_tables(connection: Connection | None) -> set[_Name]:
    """Return the partitioned tables of a PostgreSQL database."""
    return set() if connection is None else {(schema, name) for schema, name in connection.execute(_PARTITIONED)}
