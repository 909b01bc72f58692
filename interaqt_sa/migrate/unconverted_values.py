"""Computed columns whose new type the database cannot convert their values to: they are computed again anyway."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterColumnOp, ModifyTableOps, UpgradeOps
from sqlalchemy import Column, DefaultClause, Dialect, TextClause, text
from sqlalchemy.types import TypeEngine

from ..dialects.not_null_placeholders import literal_for
from ..engine.engine import plan_of
from .backfill_state import metadatas
from .cleared_values import clear_unreadable
from .operations import Backfill

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext

USING = "postgresql_using"

_IS_CONVERTED = text(
    "SELECT s.oid = t.oid OR t.typcategory = 'S' OR EXISTS (SELECT 1 FROM pg_catalog.pg_cast AS c"
    " WHERE c.castsource = s.oid AND c.casttarget = t.oid AND c.castcontext IN ('a', 'i'))"
    " FROM pg_catalog.pg_type AS s, pg_catalog.pg_type AS t"
    " WHERE s.oid = to_regtype(:before) AND t.oid = to_regtype(:after)"
)


class ConvertValue(AlterColumnOp):
    """A new type for a computed column: rows get its default, or NULL, until its back-fill."""

    def __init__(self, *args: Any, before: str, after: str, **kw: Any) -> None:
        super().__init__(*args, **kw, postgresql_using=after)
        self._before, self._after = before, after

    def reverse(self) -> ConvertValue:
        return ConvertValue(
            self.table_name,
            self.column_name,
            schema=self.schema,
            existing_type=self.modify_type,
            existing_nullable=self.existing_nullable,
            modify_type=self.existing_type,
            before=self._after,
            after=self._before,
        )


def clear_unconverted(context: AutogenContext, upgrade_ops: UpgradeOps) -> None:
    """Clear columns that are filled later and get a type to which their values cannot be converted.

    PostgreSQL refuses such a change without ``USING``; SQLite makes any change, and leaves values that cannot be read.
    """
    if context.dialect.name == "sqlite":
        clear_unreadable(context.dialect, upgrade_ops, set(_filled(context, upgrade_ops)))
    if context.dialect.name != "postgresql" or context.connection is None:
        return
    columns = {(c.table.schema, c.table.name, c.name) for c in _filled(context, upgrade_ops)}
    for container in upgrade_ops.ops:
        if not isinstance(container, ModifyTableOps):
            continue
        for place, operation in reversed(list(enumerate(container.ops))):
            if (
                isinstance(operation, AlterColumnOp)
                and operation.modify_type is not None
                and operation.existing_type is not None
                and (container.schema, container.table_name, operation.column_name) in columns
                and not _is_converted(context, operation.existing_type, operation.modify_type)
            ):
                container.ops[place : place + 1] = _steps(operation, context.dialect)


def _filled(context: AutogenContext, upgrade_ops: UpgradeOps) -> Iterator[Column[Any]]:
    names = {name for operation in upgrade_ops.ops if isinstance(operation, Backfill) for name in operation.values}
    for metadata in metadatas(context.metadata):
        for name, value in plan_of(metadata).computed.items():
            if name in names and value.can_be_recomputed:
                yield from (value.column, *value.running)


def _is_converted(context: AutogenContext, before: TypeEngine[Any], after: TypeEngine[Any]) -> bool:
    assert context.connection is not None
    one, other = before.compile(context.dialect), after.compile(context.dialect)
    # a downgrade converts them back
    pairs = ({"before": one, "after": other}, {"before": other, "after": one})
    return all(context.connection.scalar(_IS_CONVERTED, pair) for pair in pairs)


def _steps(operation: AlterColumnOp, dialect: Dialect) -> Iterator[AlterColumnOp]:
    """Yield operations that release the column, convert it, and require what is declared."""
    place = (operation.table_name, operation.column_name)
    old: Any = operation.existing_server_default or None
    new: Any = old if operation.modify_server_default is False else operation.modify_server_default
    is_required = operation.existing_nullable is False
    requires = operation.modify_nullable is False or (operation.modify_nullable is None and is_required)
    comment: Any = operation.modify_comment
    common: dict[str, Any] = {"schema": operation.schema}
    released = AlterColumnOp(
        *place,
        **common,
        existing_type=operation.existing_type,
        existing_nullable=operation.existing_nullable,
        existing_server_default=old,
        modify_server_default=None if old is not None else False,
        modify_nullable=True if is_required else None,
    )
    if released.has_changes():
        yield released
    yield ConvertValue(
        *place,
        **common,
        existing_type=operation.existing_type,
        existing_nullable=True,
        modify_type=operation.modify_type,
        before=_previous(operation, old, dialect),
        after=_constant(new),
    )
    required = AlterColumnOp(
        *place,
        **common,
        existing_type=operation.modify_type,
        existing_nullable=True,
        existing_server_default=None,
        modify_server_default=new if new is not None else False,
        modify_nullable=False if requires else None,
        modify_comment=comment,
        existing_comment=operation.existing_comment,
    )
    if required.has_changes():
        yield required


def _previous(operation: AlterColumnOp, default: Any, dialect: Dialect) -> str:
    """Return the SQL of the value that rows have after a downgrade, until the older version fills them."""
    is_required = operation.existing_nullable is False
    if default is not None or not is_required or operation.existing_type is None:
        return _constant(default)
    return literal_for(operation.existing_type, dialect) or "NULL"


def _constant(default: Any) -> str:
    """Return the SQL of a constant default."""
    given = default.arg if isinstance(default, DefaultClause) else None
    if isinstance(given, TextClause):
        return given.text
    return "'" + given.replace("'", "''") + "'" if isinstance(given, str) else "NULL"
