"""Predicates of partial indexes, which Alembic itself does not compare."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import CreateIndexOp, DropIndexOp, MigrateOperation, ModifyTableOps, OpContainer
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Connection, Dialect, Index, Table, TextClause, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from ..dialects.database_errors import normalize_database_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin

log = logging.getLogger("alembic.interaqt_sa")

_make: Any = postgresql.dialect
#: dialects whose compilers do not escape ``%``, by the option of an index
_PLAIN: dict[str, Dialect] = {
    "postgresql_where": _make(paramstyle="named"),
    "sqlite_where": sqlite.dialect(),
}


#: casts of a literal and of a column to text
_CAST = re.compile(r"('(?:[^']|'')*')::(?:text|character varying)|\((\w+)\)::text")
#: one pair of parentheses around everything
_UNQUOTED = re.compile(r"\((?:[^()']|'(?:[^']|'')*')*\)")
#: SQLSTATEs of a role without TEMP, and of a read-only transaction
_NOT_ALLOWED = ("42501", "25006")


class _CannotTellError(Exception):
    """The role lacks the privileges for the comparison."""


class _AsItStands(TextClause):
    """SQL text that is rendered unchanged in a revision."""

    inherit_cache = True


@compiles(_AsItStands)
def _as_it_stands(element: _AsItStands, compiler: SQLCompiler, **kw: Any) -> str:
    return element.text  # including escaped characters


def setup(plugin: Plugin) -> None:
    """Add the comparator of this module to ``plugin``."""
    # last: indexes that Alembic replaces for other reasons need no further comparison
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
        if present is not None and declared is not None and _is_plainly(declared, present):
            continue
        try:
            if present is not None and _canonical(context.connection, conn_table, declared) == present:
                continue
        except _CannotTellError:
            log.warning(
                "The predicate of %s is assumed to be unchanged: this role may not create the temporary table that is "
                "needed to compare it",
                index.name,
            )
            continue
        if context.run_object_filters(index, index.name, "index", False, found):
            modify_table_ops.ops += [DropIndexOp.from_index(found), CreateIndexOp.from_index(index)]
    return PriorityDispatchResult.CONTINUE


def spell_predicates(operations: Sequence[MigrateOperation]) -> None:
    """Convert the predicates of new indexes to text if they contain ``%`` or ``:``.

    Alembic would render them in the revision with the escapes of the driver, for psycopg ``%%``, which is wrong there;
    and it would interpret the text after a colon as the name of a parameter.
    """
    for operation in operations:
        if isinstance(operation, OpContainer):
            spell_predicates(operation.ops)
        elif isinstance(operation, CreateIndexOp):
            for name, dialect in _PLAIN.items():
                where: Any = operation.kw.get(name)
                written = spelled(where, dialect) if hasattr(where, "compile") else ""
                if "%" in written or ":" in written:
                    # SQLAlchemy does not accept a string as a predicate for SQLite
                    operation.kw[name] = (
                        _AsItStands(_escaped(written)) if dialect.name == "sqlite" else _escaped(written)
                    )


def _predicate(index: Index, dialect: Dialect) -> str | None:
    try:
        where: Any = index.dialect_options[dialect.name]["where"]
    except (KeyError, TypeError):
        return None
    if where is None:
        return None
    if not isinstance(where, str):
        where = spelled(where, dialect)
        # for a driver with parameters such as %s it is doubled, and would be doubled again when executed as text
        where = where % () if dialect.paramstyle in ("format", "pyformat") and "%" in where else where
    return " ".join(str(where).split())


def spelled(where: Any, dialect: Dialect) -> str:
    """Return a condition as SQL."""
    if isinstance(where, TextClause):
        # reflected text contains no parameters, even if it looks as if it did
        written = where.text.replace(r"\:", ":")
        return written.replace("%", "%%") if dialect.paramstyle in ("format", "pyformat") else written
    return str(where.compile(dialect=dialect, compile_kwargs={"literal_binds": True, "include_table": False}))


def _is_plainly(declared: str, present: str) -> bool:
    """Whether the predicates differ only by PostgreSQL's usual additions, so that no query is needed.

    Parentheses around the whole and casts of text are removed; other parentheses are kept.
    """
    written = _CAST.sub(r"\1\2", present)
    if _UNQUOTED.fullmatch(written):
        written = written[1:-1]
    return written == declared


def _canonical(connection: Connection, table: Table, predicate: str | None) -> str | None:
    """Return ``predicate`` as PostgreSQL prints it, with the casts and parentheses that it adds."""
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
    except DBAPIError as error:
        found = normalize_database_error(error)
        if found is not None and found.code in _NOT_ALLOWED:
            raise _CannotTellError from error
        # it refers to a column that does not exist yet
        return None
    finally:
        savepoint.rollback()
    return " ".join(str(written).split())


def _escaped(sql: str) -> str:
    return sql.replace(":", r"\:")
