"""Compare server defaults of this package's columns; those of other columns are compared as configured."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, DefaultClause, Sequence

from ..definitions.computation import computation_of
from ..dialects.undecorated_types import is_alike
from ..schema.computed import state_of
from .column_default_sequences import sequence_of

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.operations.ops import AlterColumnOp
    from alembic.runtime.plugins import Plugin

Comparison = Callable[..., bool | None]

_CAST = re.compile(r"::[\w ]+(\(\d+(,\d+)?\))?$")
_NEXTVAL = re.compile(r"nextval\('(.+)'(::regclass)?\)")


def setup(plugin: Plugin) -> None:
    """Add the comparators of this module to ``plugin``."""
    # in Alembic's group, before the comparator that evaluates defaults on PostgreSQL: it would take ids from sequences
    plugin.add_autogenerate_comparator(keep_others_away, "column", "server_default")
    # after it, in a separate group, which is called even if compare_server_default is off
    plugin.add_autogenerate_comparator(
        compare_own_default, "column", "interaqt_server_default", priority=DispatchPriority.LAST
    )


def users_comparison(users_own: bool | Comparison) -> bool | Comparison:
    """Return the application's ``compare_server_default``, restricted to columns that are not ours."""
    if not callable(users_own):
        return users_own
    compare = users_own

    def of_others(context: Any, inspected_column: Any, metadata_column: Any, *args: Any) -> bool | None:
        return False if _is_own(metadata_column) else compare(context, inspected_column, metadata_column, *args)

    return of_others


def keep_others_away(
    context: AutogenContext,
    alter_column_op: AlterColumnOp,
    schema: str | None,
    table_name: Any,
    column_name: Any,
    conn_column: Column[Any],
    metadata_column: Column[Any],
) -> PriorityDispatchResult:
    """Prevent other comparators from comparing the defaults of our columns."""
    return PriorityDispatchResult.STOP if _is_own(metadata_column) else PriorityDispatchResult.CONTINUE


def compare_own_default(
    context: AutogenContext,
    alter_column_op: AlterColumnOp,
    schema: str | None,
    table_name: Any,
    column_name: Any,
    conn_column: Column[Any],
    metadata_column: Column[Any],
) -> PriorityDispatchResult:
    """Compare the defaults of computed columns, of running state, and of ids that come from a sequence."""
    sequence = sequence_of(metadata_column)
    if sequence is not None and metadata_column.server_default is not None and conn_column.identity is not None:
        name = context.dialect.identifier_preparer.format_table(conn_column.table)
        column = context.dialect.identifier_preparer.quote(conn_column.name)
        raise CommandError(
            f"{name}.{column} is an identity column, but its ids have to come from the sequence {sequence.name!r}. In "
            f"a revision before this one, write op.execute('ALTER TABLE {name} ALTER COLUMN {column} DROP IDENTITY'), "
            "upgrade, and run autogenerate again"
        )
    if _is_own(metadata_column) and _differs(context, conn_column, metadata_column):
        alter_column_op.existing_server_default = conn_column.server_default
        alter_column_op.modify_server_default = metadata_column.server_default
    return PriorityDispatchResult.CONTINUE


def _is_own(column: Column[Any]) -> bool:
    if sequence_of(column) is not None and column.server_default is not None:
        return True
    return computation_of(column) is not None or state_of(column) is not None


def _differs(context: AutogenContext, conn_column: Column[Any], metadata_column: Column[Any]) -> bool:
    declared, found = metadata_column.server_default, conn_column.server_default
    sequence = sequence_of(metadata_column)
    if sequence is not None and declared is not None:
        if not context.dialect.supports_sequences:
            return False
        return not _draws_from(sequence, _rendered(context, found) or _reflected_default(context, conn_column))
    if declared is None and found is None:
        return False
    if not all(default is None or isinstance(default, DefaultClause) for default in (declared, found)):
        return True  # a generated value differs from a stored one
    if declared is not None and found is not None and _bare(_rendered(context, declared)) == _bare(_text(found)):
        return False  # no query is needed
    if not is_alike(conn_column.type, metadata_column.type):
        return True  # PostgreSQL cannot compare an integer with a Boolean
    impl: Any = context.migration_context.impl
    return bool(impl.compare_server_default(conn_column, metadata_column, _rendered(context, declared), _text(found)))


def _rendered(context: AutogenContext, default: Any) -> str | None:
    """Return a default as SQL; ``None`` for those of other kinds, such as an identity."""
    if not isinstance(default, DefaultClause):
        return None
    argument: Any = default.arg
    if isinstance(argument, str):
        return argument
    return str(argument.compile(dialect=context.dialect, compile_kwargs={"literal_binds": True}))


def _text(default: Any) -> str | None:
    return None if default is None else str(default.arg.text)


def _bare(default: str | None) -> str:
    """Return a constant without the cast that PostgreSQL adds, and without quotes."""
    return _CAST.sub("", default or "").strip("'")


def _draws_from(sequence: Sequence, default: str | None) -> bool:
    found = _NEXTVAL.fullmatch(default or "")
    return found is not None and found[1].rpartition(".")[2].strip('"') == sequence.name


def _reflected_default(context: AutogenContext, column: Column[Any]) -> str | None:
    """Return the reflected default of a column, which Alembic omits for SERIAL columns."""
    columns = context.inspector.get_columns(column.table.name, schema=column.table.schema)
    return next((found["default"] for found in columns if found["name"] == column.name), None)
