"""The implementations of the operations, online and in ``--sql`` scripts."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from alembic.operations import Operations
from sqlalchemy import Connection, inspect, text
from sqlalchemy.dialects.postgresql import CreateEnumType, DropEnumType
from sqlalchemy.dialects.postgresql.base import PGInspector
from sqlalchemy.schema import CreateSequence as CreateSequenceDDL
from sqlalchemy.schema import DropSequence as DropSequenceDDL

from . import operations as op
from .backfill import run_backfill
from .constraint_operations import SetNotNull, ValidateConstraint
from .contract_check import verify
from .duplicates import check_rows, check_unique
from .enum_operations import AddEnumLabel, CreateEnum, DropEnum
from .legacy_id_counters import lock_legacy_ids, move_legacy_ids, return_legacy_ids
from .offline_sql import retirement, script_backfill, waiting
from .online_constraints import script_set_not_null, script_validation, set_not_null, validate_constraint

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

log = logging.getLogger("alembic.interaqt_sa")

#: ``-x`` option to assert that connected programs take no ids from ``_IDS_`` any more
IGNORE_LEGACY_WRITERS = "ignore-legacy-writers"


@Operations.implementation_for(op.CreateSequence)
def _create_sequence(operations: Operations, operation: op.CreateSequence) -> None:
    if operations.get_context().dialect.supports_sequences:
        operations.execute(CreateSequenceDDL(operation.sequence()))


@Operations.implementation_for(op.DropSequence)
def _drop_sequence(operations: Operations, operation: op.DropSequence) -> None:
    if operations.get_context().dialect.supports_sequences:
        operations.execute(DropSequenceDDL(operation.sequence()))


@Operations.implementation_for(CreateEnum)
def _create_enum(operations: Operations, operation: CreateEnum) -> None:
    context = operations.get_context()
    if context.dialect.name == "postgresql" and not _has_enum(context, operation):
        operations.execute(CreateEnumType(operation.type()))


@Operations.implementation_for(DropEnum)
def _drop_enum(operations: Operations, operation: DropEnum) -> None:
    if operations.get_context().dialect.name == "postgresql":
        operations.execute(DropEnumType(operation.type()))


@Operations.implementation_for(AddEnumLabel)
def _add_enum_label(operations: Operations, operation: AddEnumLabel) -> None:
    context = operations.get_context()
    if context.dialect.name != "postgresql":
        return
    preparer: Any = context.dialect.identifier_preparer
    name = preparer.format_type(operation.type())
    (label,) = operation.labels
    statement = f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {_quoted(label)}"
    if operation.before is not None:
        statement += f" BEFORE {_quoted(operation.before)}"
    with ExitStack() as stack:
        # raised in a transaction of the caller, and in a script
        with suppress(AssertionError, AttributeError):
            stack.enter_context(context.autocommit_block())
        operations.execute(text(statement.replace(":", r"\:")))


@Operations.implementation_for(op.Note)
def _note(operations: Operations, operation: op.Note) -> None:
    """Do nothing."""


@Operations.implementation_for(op.MoveLegacyIds)
def _move_legacy_ids(operations: Operations, operation: op.MoveLegacyIds) -> None:
    statement = move_legacy_ids(operation, operations.get_context().dialect)
    if statement is not None:
        operations.execute(statement)


@Operations.implementation_for(op.CheckRows)
def _check_rows(operations: Operations, operation: op.CheckRows) -> None:
    if operations.get_context().as_sql:
        _comment(operations, f"{operation.required} fails below if rows of {operation.table} violate it")
    else:
        check_rows(_connection(operations), operation)


@Operations.implementation_for(SetNotNull)
def _set_not_null(operations: Operations, operation: SetNotNull) -> None:
    context = operations.get_context()
    if context.dialect.name != "postgresql":
        # SQLite rebuilds the table
        with operations.batch_alter_table(operation.table, schema=operation.schema) as batch:
            batch.alter_column(operation.column, nullable=False)
    elif context.as_sql:
        _in_transactions_of_their_own(operations, script_set_not_null(context, operation))
    else:
        set_not_null(context, _connection(operations), operation)


@Operations.implementation_for(ValidateConstraint)
def _validate_constraint(operations: Operations, operation: ValidateConstraint) -> None:
    context = operations.get_context()
    if context.dialect.name != "postgresql":
        return
    if context.as_sql:
        _in_transactions_of_their_own(operations, script_validation(context, operation))
    else:
        validate_constraint(context, _connection(operations), operation)


@Operations.implementation_for(op.Verify)
def _verify(operations: Operations, operation: op.Verify) -> None:
    if operations.get_context().as_sql:
        _comment(operations, "values are verified online only")
    else:
        verify(operations.get_context(), _connection(operations), operation.names)


@Operations.implementation_for(op.MoveLinks)
def _move_links(operations: Operations, operation: op.MoveLinks) -> None:
    for statement in operation.forth:
        operations.execute(text(statement.replace(":", r"\:")))


@Operations.implementation_for(op.LockLegacyIds)
def _lock_legacy_ids(operations: Operations, operation: op.LockLegacyIds) -> None:
    context = operations.get_context()
    environment = context.environment_context
    given = {} if environment is None else environment.get_x_argument(as_dictionary=True)
    statement = lock_legacy_ids(operation, context.dialect, ignore_writers=IGNORE_LEGACY_WRITERS in given)
    if statement is not None:
        operations.execute(statement)


@Operations.implementation_for(op.ReturnLegacyIds)
def _return_legacy_ids(operations: Operations, operation: op.ReturnLegacyIds) -> None:
    statement = return_legacy_ids(operation, operations.get_context().dialect)
    if statement is not None:
        operations.execute(statement)


@Operations.implementation_for(op.CheckUnique)
def _check_unique(operations: Operations, operation: op.CheckUnique) -> None:
    if operations.get_context().as_sql:
        _comment(operations, f"{operation.constraint} fails below if the rows of {operation.table} violate it")
    else:
        check_unique(_connection(operations), operation)


@Operations.implementation_for(op.Backfill)
def _backfill(operations: Operations, operation: op.Backfill) -> None:
    if operations.get_context().as_sql:
        for line in script_backfill(operations.get_context(), operation):
            operations.get_context().impl.static_output(line)
        return
    run_backfill(operations.get_context(), _connection(operations), operation)


@Operations.implementation_for(op.RetireBackfill)
def _retire_backfill(operations: Operations, operation: op.RetireBackfill) -> None:
    operations.execute(retirement(operations.get_context(), operation.names))


@Operations.implementation_for(op.ReopenBackfill)
def _reopen_backfill(operations: Operations, operation: op.ReopenBackfill) -> None:
    context = operations.get_context()
    operations.execute(retirement(context, list(operation.values)))
    reopened = {name: fingerprint for name, fingerprint in operation.values.items() if fingerprint is not None}
    for name, fingerprint in reopened.items():
        operations.execute(waiting(context, name, fingerprint))
    if reopened:
        log.warning(
            "%s: computed by the newer declaration. Deploy the older version, then run alembic upgrade with its "
            "models, which fills them again",
            ", ".join(reopened),
        )


def _in_transactions_of_their_own(operations: Operations, statements: Iterable[str]) -> None:
    for statement in statements:
        with operations.get_context().autocommit_block():
            operations.execute(text(statement.replace(":", r"\:")))


def _quoted(label: str) -> str:
    return "'" + label.replace("'", "''") + "'"


def _has_enum(context: MigrationContext, operation: CreateEnum) -> bool:
    """Whether the type exists with the same labels; with others, CREATE TYPE fails."""
    if context.as_sql or context.connection is None:
        return False
    found = inspect(context.connection)
    assert isinstance(found, PGInspector)
    schema = operation.schema or found.default_schema_name
    enums = {enum["name"]: tuple(enum["labels"]) for enum in found.get_enums(schema)}
    return enums.get(operation.name) == operation.labels


def _connection(operations: Operations) -> Connection:
    connection = operations.get_context().connection
    assert connection is not None
    return connection


def _comment(operations: Operations, text: str) -> None:
    operations.get_context().impl.static_output(f"-- {text}\n")
