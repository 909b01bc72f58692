"""Move drops of objects that processes of the previous version still use to a last revision, after the back-fills."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from alembic.operations import MigrateOperation
from alembic.operations.ops import (
    AlterColumnOp,
    DropColumnOp,
    DropConstraintOp,
    DropIndexOp,
    DropTableOp,
    ModifyTableOps,
)
from sqlalchemy import Column

from .enum_operations import DropEnum
from .operations import Backfill, MoveLinks, RetireBackfill

_Name = tuple[str | None, str]


def take_drops(operations: list[MigrateOperation]) -> list[MigrateOperation]:
    """Remove from ``operations``, and return, the drops of tables and columns, if values are filled or retired as well.

    When the new version inserts rows, it does not set a removed NOT NULL column without a default: until the column is
    dropped, it is nullable. A revision without computed values is left as Alembic writes it. So is one that moves
    links: links that the previous version still writes to the old place would be lost silently.
    """
    kinds = {type(operation) for operation in operations}
    if MoveLinks in kinds or kinds.isdisjoint({Backfill, RetireBackfill}):
        return []
    dropped = {(one.schema, one.table_name) for one in operations if isinstance(one, DropTableOp)}
    taken: list[MigrateOperation] = []
    for operation in list(operations):
        if isinstance(operation, ModifyTableOps):
            if (operation.schema, operation.table_name) in dropped:
                operations.remove(operation)
                taken.append(operation)
            else:
                taken += _of_table(operation)
        elif isinstance(operation, (DropTableOp, DropEnum)):
            operations.remove(operation)
            taken.append(operation)
    return taken


def retired_first(backfills: Sequence[Backfill]) -> Iterator[RetireBackfill]:
    """Yield the operation of the revision before the back-fills, if that revision is otherwise empty.

    Values with a changed declaration count as not filled while two versions run, and the first revision can be run
    before the new version starts, as if it added columns.
    """
    changed = {
        name: previous
        for backfill in backfills
        for name, previous in backfill.previous.items()
        if previous != backfill.values[name]
    }
    if changed:
        yield RetireBackfill(list(changed), changed)


def _of_table(container: ModifyTableOps) -> Iterator[ModifyTableOps]:
    columns = {operation.column_name for operation in container.ops if isinstance(operation, DropColumnOp)}
    if not columns:
        return
    taken: list[MigrateOperation] = []
    kept: list[MigrateOperation] = []
    for operation in container.ops:
        if isinstance(operation, DropColumnOp):
            relaxed = list(_relax(operation))
            kept += relaxed
            taken.append(_dropping_nullable(operation) if relaxed else operation)
        elif isinstance(operation, (DropIndexOp, DropConstraintOp)) and _is_over(operation, columns):
            taken.append(operation)
        else:
            kept.append(operation)
    container.ops = kept
    yield ModifyTableOps(container.table_name, taken, schema=container.schema)


def _relax(operation: DropColumnOp) -> Iterator[AlterColumnOp]:
    """Yield the operation that makes a column nullable that is about to be dropped, so that inserts can omit it."""
    column: Column[Any] = operation.to_column()
    has_value = column.server_default is not None or column.identity is not None or column.computed is not None
    if not column.nullable and not has_value and not column.primary_key:
        yield AlterColumnOp(
            operation.table_name,
            operation.column_name,
            schema=operation.schema,
            existing_type=column.type,
            existing_nullable=False,
            modify_nullable=True,
        )


def _dropping_nullable(operation: DropColumnOp) -> DropColumnOp:
    """Return ``operation`` so that its downgrade adds the column as it was when it was dropped."""
    column: Column[Any] = operation.to_column()
    return DropColumnOp.from_column_and_tablename(
        operation.schema,
        operation.table_name,
        Column(column.name, column.type, nullable=True, comment=column.comment),
    )


def _is_over(operation: DropIndexOp | DropConstraintOp, columns: Collection[str]) -> bool:
    found: Any = operation.to_index() if isinstance(operation, DropIndexOp) else operation.to_constraint()
    return any(column.name in columns for column in found.columns)
