"""Operations of Alembic that change the values of a column, also in revisions that were not generated."""

from __future__ import annotations

from alembic.operations import Operations, toimpl
from alembic.operations.ops import AddColumnOp, AlterColumnOp, DropColumnOp
from sqlalchemy.types import to_instance

from .fingerprints import converts
from .written_columns import written_by


@Operations.implementation_for(AddColumnOp, replace=True)
def _add_column(operations: Operations, operation: AddColumnOp) -> None:
    toimpl.add_column(operations, operation)
    written_by(operations.get_context()).added(operation.table_name, operation.column.name)


@Operations.implementation_for(DropColumnOp, replace=True)
def _drop_column(operations: Operations, operation: DropColumnOp) -> None:
    toimpl.drop_column(operations, operation)
    written_by(operations.get_context()).dropped(operation.table_name, operation.column_name)


@Operations.implementation_for(AlterColumnOp, replace=True)
def _alter_column(operations: Operations, operation: AlterColumnOp) -> None:
    toimpl.alter_column(operations, operation)
    written = written_by(operations.get_context())
    before, after = operation.existing_type, operation.modify_type
    if after is not None and (before is None or converts(to_instance(before), to_instance(after))):
        written.columns(operation.table_name, [operation.column_name])
    if operation.modify_name is not None:
        written.added(operation.table_name, operation.modify_name)
