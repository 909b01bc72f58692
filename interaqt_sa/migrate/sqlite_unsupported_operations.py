"""A warning for operations that SQLite cannot run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from alembic.operations import MigrateOperation
from alembic.operations.ops import (
    AddConstraintOp,
    AlterColumnOp,
    DropConstraintOp,
    ModifyTableOps,
    UpgradeOps,
)
from sqlalchemy.dialects.sqlite.base import SQLiteDialect

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

log = logging.getLogger("alembic.interaqt_sa")


def warn_of_alterations(context: AutogenContext, upgrade_ops: UpgradeOps) -> None:
    """Warn if tables are altered in a way for which SQLite requires a copy of the table."""
    if not isinstance(context.dialect, SQLiteDialect) or context.opts.get("render_as_batch"):
        return
    altered = sorted(set(_altered(upgrade_ops.ops)))
    if altered:
        log.warning(
            "%s: SQLite cannot alter columns and constraints, so that this revision fails there. In env.py, write "
            "context.configure(render_as_batch=True, transactional_ddl=True, "
            "**interaqt_sa.migrate.configure(target_metadata=...)), and generate it again",
            ", ".join(altered),
        )


def _altered(operations: Iterable[MigrateOperation]) -> Iterator[str]:
    for container in operations:
        if isinstance(container, ModifyTableOps) and any(
            isinstance(operation, (AlterColumnOp, AddConstraintOp, DropConstraintOp)) for operation in container.ops
        ):
            yield container.table_name
