"""The columns whose values a revision changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.operations.ops import AddColumnOp, AlterColumnOp, ModifyTableOps, UpgradeOps
from sqlalchemy import Column, MetaData, Table

from .declared import Declared
from .default_backfill import added_defaults
from .fingerprints import converts


def altered_columns(metadata: MetaData, upgrade_ops: UpgradeOps) -> set[Column[Any]]:
    """Return the columns of ``metadata`` whose values ``upgrade_ops`` change.

    They are those with a type that stores other values, and those whose default is written into existing rows.
    """
    tables = {(table.schema, table.name): table for table in metadata.tables.values()}
    found: set[Column[Any]] = {column for _, column in added_defaults(metadata, upgrade_ops)}
    for container in upgrade_ops.ops:
        table = tables.get((container.schema, container.table_name)) if isinstance(container, ModifyTableOps) else None
        if table is not None and isinstance(container, ModifyTableOps):
            names = set(_converted_names(container))
            found |= {column for column in table.columns if column.name in names}
    return found


def added_to_derived_rows(declared: Declared, upgrade_ops: UpgradeOps) -> dict[str, list[Column[Any]]]:
    """Return the columns that ``upgrade_ops`` adds to derived rows, by the name of their record.

    Their Transform gives their values. The engine computes others, and the default of a column is its value.
    """
    added = {
        (container.schema, container.table_name, operation.column.name)
        for container in upgrade_ops.ops
        if isinstance(container, ModifyTableOps)
        for operation in container.ops
        if isinstance(operation, AddColumnOp)
    }
    found: dict[str, list[Column[Any]]] = {}
    for name, derivation in declared.derivations.items():
        mapped = {column for attribute in derivation.mapper.column_attrs for column in attribute.columns}
        for column in mapped:
            table = column.table
            if (
                isinstance(column, Column)
                and isinstance(table, Table)
                and (table.schema, table.name, column.name) in added
                and column not in declared.plan.columns
            ):
                found.setdefault(name, []).append(column)
    return found


def _converted_names(container: ModifyTableOps) -> Iterator[str]:
    for operation in container.ops:
        if isinstance(operation, AlterColumnOp) and operation.modify_type is not None:
            before: Any = operation.existing_type
            if before is None or converts(before, operation.modify_type):
                yield operation.column_name
