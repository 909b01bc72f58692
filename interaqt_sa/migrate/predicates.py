"""Predicates of partial indexes, which Alembic itself does not compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic.operations.ops import CreateIndexOp, DropIndexOp, MigrateOperation, ModifyTableOps, OpContainer
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Connection, Dialect, Index, Table, TextClause, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin

_make: Any = postgresql.dialect
#: dialects whose parameters leave ``%`` alone, by the options of an index
_PLAIN: dict[str, Dialect] = {
    "postgresql_where": _make(paramstyle="named"),
    "sqlite_where": sqlite.dialect(),
}


class _AsItStands(TextClause):
    """SQL text that is rendered into a revision as it stands."""

    inherit_cache = True


@compiles(_AsItStands)
def _as_it_stands(element: _AsItStands, compiler: SQLCompiler, **kw: Any) -> str:
    return element.text.replace(r"\:", ":")


def setup(plugin: Plugin) -> None:
    """Give ``plugin`` the comparator of this module."""
    # last: what Alembic replaces for other reasons needs no second look
    plugin.add_autogenerate_comparator(
        compare_predicates, "table", "interaqt_predicates", priority=DispatchPriority.LAST
    )


def compare_predicates(
    context: AutogenContext,
    modify_table_ops: ModifyTableOps,
    schema: str | None,
    table_name: str,
    conn_table: Table | None,
    metadata_table: Table | None,
) -> PriorityDispatchResult:
    """Replace indexes whose predicate has changed under the same name."""
    if conn_table is None or metadata_table is None or context.connection is None:
        return PriorityDispatchResult.CONTINUE
    seen = {op.index_name for op in modify_table_ops.ops if isinstance(op, (CreateIndexOp, DropIndexOp))}
    existing = {index.name: index for index in conn_table.indexes}
    for index in sorted(metadata_table.indexes, key=lambda index: str(index.name)):
        found = existing.get(index.name)
        if found is None or index.name in seen:
            continue
        declared, present = _predicate(index, context.dialect), _predicate(found, context.dialect)
        if declared == present:
            continue
        if present is not None and _canonical(context.connection, conn_table, declared) == present:
            continue
        if context.run_object_filters(index, index.name, "index", False, found):
            modify_table_ops.ops += [DropIndexOp.from_index(found), CreateIndexOp.from_index(index)]
    return PriorityDispatchResult.CONTINUE


def spell_percent_signs(operations: Sequence[MigrateOperation]) -> None:
    """Give new indexes their predicates as text where these hold ``%``.

    Alembic would write them into the revision as the driver takes them: for psycopg, and wrongly, with ``%%``.
    """
    for operation in operations:
        if isinstance(operation, OpContainer):
            spell_percent_signs(operation.ops)
        elif isinstance(operation, CreateIndexOp):
            for name, dialect in _PLAIN.items():
                where: Any = operation.kw.get(name)
                options = {"literal_binds": True, "include_table": False}
                spelled = (
                    str(where.compile(dialect=dialect, compile_kwargs=options)) if hasattr(where, "compile") else ""
                )
                if "%" in spelled:
                    # SQLAlchemy takes no string as a predicate for SQLite
                    operation.kw[name] = (
                        _AsItStands(_escaped(spelled)) if dialect.name == "sqlite" else _escaped(spelled)
                    )


def _predicate(index: Index, dialect: Dialect) -> str | None:
    try:
        where: Any = index.dialect_options[dialect.name]["where"]
    except (KeyError, TypeError):
        return None
    if where is None:
        return None
    if not isinstance(where, str):
        where = where.compile(dialect=dialect, compile_kwargs={"literal_binds": True, "include_table": False})
        # for a driver with parameters such as %s it is doubled, and would be once more when it is run as text
        where = str(where) % () if dialect.paramstyle in ("format", "pyformat") else where
    return " ".join(str(where).split())


def _canonical(connection: Connection, table: Table, predicate: str | None) -> str | None:
    """Return ``predicate`` as PostgreSQL writes it: it keeps expressions parsed, and adds casts and parentheses."""
    if predicate is None or not isinstance(connection.dialect, PGDialect):
        return predicate
    name = connection.dialect.identifier_preparer.format_table(table)
    savepoint = connection.begin_nested()
    try:
        connection.execute(text(f"CREATE TEMPORARY TABLE interaqt_probe (LIKE {name})"))
        connection.execute(text(f"CREATE INDEX interaqt_probe_ix ON interaqt_probe ((1)) WHERE {_escaped(predicate)}"))
        statement = (
            "SELECT pg_get_expr(indpred, indrelid) FROM pg_index WHERE indexrelid = 'interaqt_probe_ix'\\:\\:regclass"
        )
        written = connection.scalar(text(statement))
    except DBAPIError:
        # it speaks of a column that does not exist yet
        return None
    finally:
        savepoint.rollback()
    return " ".join(str(written).split())


def _escaped(sql: str) -> str:
    return sql.replace(":", r"\:")
