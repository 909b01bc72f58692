"""Non-null constraints of definitions: CHECK constraints, which Alembic itself does not compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.operations.ops import AddConstraintOp, DropConstraintOp, ModifyTableOps
from alembic.util import PriorityDispatchResult
from sqlalchemy import CheckConstraint, Table

from ..definitions.computation import INFO_KEY, info_of
from .default_backfill import defined_tables

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin


def setup(plugin: Plugin) -> None:
    """Add the comparator of this module to ``plugin``."""
    plugin.add_autogenerate_comparator(compare_requirements, "table", "interaqt_requirements")


def compare_requirements(
    context: AutogenContext,
    modify_table_ops: ModifyTableOps,
    schema: str | None,
    table_name: str,
    conn_table: Table | None,
    metadata_table: Table | None,
) -> PriorityDispatchResult:
    """Find declared non-null constraints that do not exist, and existing ones that are not declared.

    Only tables of definitions are compared: there, an undeclared CHECK constraint was declared before.
    """
    if conn_table is None or metadata_table is None or metadata_table not in defined_tables(metadata_table.metadata):
        return PriorityDispatchResult.CONTINUE
    declared = {str(item.name): item for item in metadata_table.constraints if isinstance(item, CheckConstraint)}
    found = {
        str(item["name"]): item["sqltext"]
        for item in context.inspector.get_check_constraints(table_name, schema=schema)
        if item["name"] is not None
    }
    for name in sorted(declared.keys() - found.keys()):
        if INFO_KEY in info_of(declared[name]):
            modify_table_ops.ops.append(AddConstraintOp.from_constraint(declared[name]))
    for name in sorted(found.keys() - declared.keys()):
        constraint = CheckConstraint(found[name], name=name, table=conn_table)
        modify_table_ops.ops.append(DropConstraintOp.from_constraint(constraint))
    return PriorityDispatchResult.CONTINUE
