"""The columns with the origin of derived rows: rows without it are not known as derived ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from alembic.operations.ops import AddColumnOp, ExecuteSQLOp, ModifyTableOps, UpgradeOps
from sqlalchemy import Connection, Dialect, delete, func, select

from .declared import Declared
from .noop_operation import Note

if TYPE_CHECKING:
    from ..engine.engine import Derivation

log = logging.getLogger("alembic.interaqt_sa")


def delete_in_downgrade(declared: Sequence[Declared], upgrade_ops: UpgradeOps, dialect: Dialect) -> None:
    """Let a downgrade delete the rows that a Transform has derived into a table that exists already.

    The downgrade drops the columns with their origin. The next upgrade would not find the rows, and derive them twice.
    """
    columns = [one.column_of(name) for one in declared for name in one.derivations]
    origins = {(column.table.schema, column.table.name, column.name): column for column in columns}
    for place, container in reversed(list(enumerate(upgrade_ops.ops))):
        if not isinstance(container, ModifyTableOps):
            continue
        for operation in container.ops:
            if isinstance(operation, AddColumnOp):
                origin = origins.get((container.schema, container.table_name, operation.column.name))
                if origin is not None:
                    statement = delete(origin.table).where(origin.is_not(None)).compile(dialect=dialect)
                    note = Note("a downgrade deletes the derived rows", ExecuteSQLOp(str(statement)))
                    upgrade_ops.ops.insert(place + 1, note)


def warn_of_rows_without_origin(connection: Connection, derivation: Derivation) -> None:
    """Warn of rows in the table of a Transform that it has not derived, as far as is known."""
    column = derivation.source_column
    assert column is not None
    found = connection.scalar(select(func.count()).select_from(column.table).where(column.is_(None)))
    if found:
        log.warning(
            "%s: %s rows have no origin and are kept. If a Transform derived them before its columns were dropped, "
            "delete them: they are derived again",
            derivation.name,
            found,
        )
