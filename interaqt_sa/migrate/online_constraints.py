"""Add constraints on existing rows on PostgreSQL without a lock that blocks writers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from .backfill_transactions import Transactions, in_revision
from .constraint_operations import SetNotNull, ValidateConstraint
from .duplicates import check_rows
from .operations import CheckRows

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

_TABLE = "to_regclass(CAST(:table AS text))"
_NOT_VALID = text(
    f"SELECT conname FROM pg_catalog.pg_constraint WHERE conrelid = {_TABLE} AND NOT convalidated"
    " AND contype IN ('c', 'f') AND (conname = CAST(:name AS text)"
    " OR CAST(:name AS text) IS NULL AND contype = 'f' AND ("
    "SELECT array_agg(CAST(attname AS text) ORDER BY place)"
    " FROM unnest(conkey) WITH ORDINALITY AS part (number, place) JOIN pg_catalog.pg_attribute"
    " ON attrelid = conrelid AND attnum = number) = CAST(:columns AS text[]))"
)
_REQUIRED = text(
    f"SELECT attnotnull FROM pg_catalog.pg_attribute WHERE attrelid = {_TABLE} AND attname = CAST(:column AS text)"
)
_CHECKED = text(
    f"SELECT convalidated FROM pg_catalog.pg_constraint WHERE conrelid = {_TABLE} AND conname = CAST(:name AS text)"
)


def validate_constraint(context: MigrationContext, connection: Connection, operation: ValidateConstraint) -> None:
    """Validate existing rows, with a lock that does not block writers."""
    table = _table(context, operation)
    sought = {"table": table, "name": operation.constraint, "columns": list(operation.columns)}
    names = connection.scalars(_NOT_VALID, sought).all()
    if not names:
        return
    with in_revision(context, connection) as transactions:
        for name in names:
            transactions.run(partial(_validate, table=table, constraint=_quoted(context, name)))


def set_not_null(context: MigrationContext, connection: Connection, operation: SetNotNull) -> None:
    """Make a column NOT NULL, in steps that can be resumed.

    :raises ConstraintSetupError: if rows contain NULL; nothing was changed then.
    """
    table, column = _table(context, operation), _quoted(context, operation.column)
    name = check_name(operation)
    look = partial(check_rows, operation=_nulls(operation, column))
    if connection.scalar(_REQUIRED, {"table": table, "column": operation.column}):
        return
    look(connection)
    with in_revision(context, connection) as transactions:
        if not transactions.are_own:
            transactions.run(lambda own: _execute(own, f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL"))
            return
        add, _, require, drop = _statements(table, column, _quoted(context, name))
        is_valid = transactions.run(lambda own: own.scalar(_CHECKED, {"table": table, "name": name}))
        if is_valid is None:
            transactions.run(lambda own: _execute(own, add))
        if not is_valid:
            try:
                transactions.run(partial(_validate, table=table, constraint=_quoted(context, name)))
            except IntegrityError:
                # NULL was written between the check and the constraint
                transactions.run(lambda own: _execute(own, drop))
                _look_again(transactions, look)
                raise
        transactions.run(lambda own: _execute(own, require, drop))


def script_set_not_null(context: MigrationContext, operation: SetNotNull) -> Iterator[str]:
    """Yield the statements for ``--sql``, each for a transaction of its own."""
    table, column = _table(context, operation), _quoted(context, operation.column)
    yield from _statements(table, column, _quoted(context, check_name(operation)))


def script_validation(context: MigrationContext, operation: ValidateConstraint) -> Iterator[str]:
    """Yield the statement for ``--sql``; for a foreign key without a name it uses PostgreSQL's default name."""
    name = operation.constraint or f"{operation.table}_{'_'.join(operation.columns)}_fkey"
    yield f"ALTER TABLE {_table(context, operation)} VALIDATE CONSTRAINT {_quoted(context, name)}"


def check_name(operation: SetNotNull) -> str:
    """Return the name of the temporary CHECK constraint that represents NOT NULL."""
    name = f"{operation.table}_{operation.column}_interaqt_not_null"
    if len(name.encode()) <= 63:
        return name
    return f"interaqt_not_null_{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _statements(table: str, column: str, name: str) -> list[str]:
    return [
        f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({column} IS NOT NULL) NOT VALID",
        f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}",
        f"ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL",
        f"ALTER TABLE {table} DROP CONSTRAINT {name}",
    ]


def _validate(connection: Connection, table: str, constraint: str) -> None:
    # writers do not wait behind it, and only a wait of a second ends an autovacuum
    _execute(connection, "SET LOCAL lock_timeout = 0", f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def _look_again(transactions: Transactions, look: Any) -> None:
    with transactions.begin() as connection:
        look(connection)


def _nulls(operation: SetNotNull, column: str) -> CheckRows:
    required = f"NOT NULL of {operation.table}.{operation.column}"
    return CheckRows(required, operation.table, f"{column} IS NULL", [operation.column], schema=operation.schema)


def _execute(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(text(statement.replace(":", r"\:")))


def _table(context: MigrationContext, operation: SetNotNull | ValidateConstraint) -> str:
    schema = None if operation.schema is None else _quoted(context, operation.schema)
    return ".".join([*([schema] if schema else []), _quoted(context, operation.table)])


def _quoted(context: MigrationContext, name: str) -> str:
    return context.dialect.identifier_preparer.quote(name)
