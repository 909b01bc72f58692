"""Implementations of adopting a table of interaqt, and of returning it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from alembic.operations import Operations
from sqlalchemy import Column, Connection, Dialect, Integer, MetaData, Table, insert, select, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from .legacy_table_operation import ROW_ID, AdoptTable, ReturnTable
from .offline_sql import stop_script

_ASIDE = "_interaqt_aside"


@Operations.implementation_for(AdoptTable)
def _adopt_table(operations: Operations, operation: AdoptTable) -> None:
    dialect = operations.get_context().dialect
    if isinstance(dialect, PGDialect):
        _execute(operations, _adopting(operation, dialect))
    else:
        _write_anew(operations, operation.legacy, operation.table, operation.columns, key="id")


@Operations.implementation_for(ReturnTable)
def _return_table(operations: Operations, operation: ReturnTable) -> None:
    dialect = operations.get_context().dialect
    if isinstance(dialect, PGDialect):
        _execute(operations, _returning(operation, dialect))
    else:
        names = {new: old for old, new in operation.columns.items()}
        _write_anew(operations, operation.table, operation.legacy, names, key=ROW_ID)


def _execute(operations: Operations, statements: Iterable[str]) -> None:
    for statement in statements:
        operations.execute(text(statement.replace(":", r"\:")))


def _write_anew(operations: Operations, old: str, new: str, columns: Mapping[str, str], *, key: str) -> None:
    """Rebuild a table on SQLite, where its key cannot be changed."""
    context = operations.get_context()
    if context.connection is None or context.as_sql:
        for line in stop_script(context, f"{old} cannot be rebuilt by a script", old):
            context.impl.static_output(line)
    else:
        _rebuild(context.connection, old, new, columns, key=key)


def _adopting(operation: AdoptTable, dialect: PGDialect) -> Iterator[str]:
    """Yield the statements that adopt the table on PostgreSQL."""
    quote = dialect.identifier_preparer.quote
    table = _qualified(dialect, operation.schema, operation.table)
    if operation.legacy != operation.table:
        legacy = _qualified(dialect, operation.schema, operation.legacy)
        yield f"ALTER TABLE {legacy} RENAME TO {quote(operation.table)}"
    for old, new in operation.columns.items():
        yield f"ALTER TABLE {table} RENAME COLUMN {quote(old)} TO {quote(new)}"
    # one statement: the table is rewritten once
    yield (f'ALTER TABLE {table} ALTER COLUMN id TYPE BIGINT, ADD PRIMARY KEY (id), DROP COLUMN IF EXISTS "{ROW_ID}"')


def _returning(operation: ReturnTable, dialect: PGDialect) -> Iterator[str]:
    """Yield the statements that return the table on PostgreSQL."""
    quote = dialect.identifier_preparer.quote
    table = _qualified(dialect, operation.schema, operation.table)
    name = quote(f"{operation.table}_pkey")
    yield f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
    yield (
        f"ALTER TABLE {table} ALTER COLUMN id DROP NOT NULL, ALTER COLUMN id TYPE INT, "
        f'ADD COLUMN "{ROW_ID}" INT GENERATED ALWAYS AS IDENTITY'
    )
    for old, new in operation.columns.items():
        yield f"ALTER TABLE {table} RENAME COLUMN {quote(new)} TO {quote(old)}"
    if operation.legacy != operation.table:
        yield f"ALTER TABLE {table} RENAME TO {quote(operation.legacy)}"


def _qualified(dialect: Dialect, schema: str | None, table: str) -> str:
    quote = dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(table)}" if schema else quote(table)


def _rebuild(connection: Connection, old: str, new: str, columns: Mapping[str, str], *, key: str) -> None:
    """Copy ``old`` into a table ``new`` with other names of columns.

    :param columns: new names by old ones.
    :param key: the primary key of the new table: ``id``, or :data:`ROW_ID`.
    """
    quote = connection.dialect.identifier_preparer.quote
    found = Table(old, MetaData(), autoload_with=connection, resolve_fks=False)
    dropped = ROW_ID if key != ROW_ID else None
    kept: list[Any] = [column for column in found.columns if column.name not in (dropped, key)]
    source: dict[str, Any] = {columns.get(column.name, column.name): column for column in kept}
    made: list[Any] = [Column(key, Integer, primary_key=True)]
    for name, column in source.items():
        if name != key:
            made.append(Column(name, column.type, nullable=column.nullable, server_default=column.server_default))
    connection.execute(text(f"ALTER TABLE {quote(old)} RENAME TO {_ASIDE}"))
    aside = Table(_ASIDE, MetaData(), *(Column(column.name, column.type) for column in found.columns))
    fresh = Table(new, MetaData(), *made)
    fresh.create(connection)
    # rows of the renamed table, whose key is not needed
    taken: dict[str, Any] = {name: aside.c[column.name] for name, column in source.items()}
    if key in found.columns and key not in taken:
        taken[key] = aside.c[key]
    rows: Any = select(*taken.values())
    connection.execute(insert(fresh).from_select(list(taken), rows))
    connection.execute(text(f"DROP TABLE {_ASIDE}"))
