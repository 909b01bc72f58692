"""The columns whose values a new type converts, and the computed values that read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alembic.operations.ops import AlterColumnOp, ModifyTableOps, UpgradeOps
from sqlalchemy import Column, MetaData

from ..engine.engine import Plan
from .fingerprints import converts
from .value_dependencies import derivations, read_columns


def altered_columns(metadata: MetaData, upgrade_ops: UpgradeOps) -> set[Column[Any]]:
    """Return the columns of ``metadata`` to which ``upgrade_ops`` give a type that stores other values."""
    tables = {(table.schema, table.name): table for table in metadata.tables.values()}
    found: set[Column[Any]] = set()
    for container in upgrade_ops.ops:
        table = tables.get((container.schema, container.table_name)) if isinstance(container, ModifyTableOps) else None
        if table is not None and isinstance(container, ModifyTableOps):
            names = set(_converted_names(container))
            found |= {column for column in table.columns if column.name in names}
    return found


def _converted_names(container: ModifyTableOps) -> Iterator[str]:
    for operation in container.ops:
        if isinstance(operation, AlterColumnOp) and operation.modify_type is not None:
            before: Any = operation.existing_type
            if before is None or converts(before, operation.modify_type):
                yield operation.column_name


def reading(plan: Plan, columns: set[Column[Any]]) -> set[str]:
    """Return the names of the values and derived rows that are computed from one of ``columns``."""
    names = {name for name, read in read_columns(plan).items() if not read.isdisjoint(columns)}
    for name, derivation in derivations(plan).items():
        origin: Any = derivation.origin
        if any(column in columns for key in derivation.attributes for column in origin.column_attrs[key].columns):
            names.add(name)
    return names
