"""Add the numbers of scoped sequences to the rows of an INSERT of a session."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table

from ...errors import UnmanagedWriteError
from ..computations.row_numbers import RowNumbers
from .dml_statement import conflict_clauses

if TYPE_CHECKING:
    from .orm_dml import Bulk


@contextmanager
def numbered(bulk: Bulk) -> Generator[None]:
    """Take the numbers of the rows that an INSERT gives, and add them to it.

    :raises UnmanagedWriteError: if it is not known which rows it will insert.
    """
    numbers = RowNumbers(bulk.propagation.db)
    tables = [table for table in bulk.tables if numbers.of(table)]
    if not tables:
        yield
        return
    _refuse_unknown_rows(bulk, tables[0])
    _protect(bulk)
    rows = bulk.dml.given_rows()
    added: list[dict[Column[Any], Any]] = [{} for _ in rows]
    for table in tables:
        for more, found in zip(added, numbers.fill(table, rows, bulk.dml.mapper), strict=True):
            more.update(found)
    execution = bulk.execution
    given = execution.parameters
    try:
        if any(added):
            _add(bulk, added)
        yield
        if not bulk.inserted:  # ON CONFLICT DO NOTHING
            numbers.give_back(used=True)
    finally:
        execution.parameters = given


def _protect(bulk: Bulk) -> None:
    """Begin the savepoint that the statement needs before its numbers are taken, because they belong to it.

    On a database whose errors end the transaction none is needed for them: any error ends it then.
    """
    bulk.protect(None)
    if bulk.propagation.db.dialect.has_row_locks:
        bulk.unit.has_written = True
    else:
        bulk.unit.protect(bulk.propagation.db.connection(bulk.source))


def _refuse_unknown_rows(bulk: Bulk, table: Table) -> None:
    statement = bulk.statement
    conflicts = conflict_clauses(statement)
    updates = any(hasattr(clause, "update_values_to_set") for clause in conflicts)
    is_single = statement.select is None and len(bulk.dml.given_rows()) == 1
    ignores = any("IGNORE" in str(prefix).upper() for prefix, _ in statement._prefixes)
    if updates or ((conflicts or ignores) and not is_single):
        raise UnmanagedWriteError(
            f"an INSERT into {table.fullname!r} that updates existing rows, or skips some of several rows, would leave "
            "gaps in the numbers of its sequence: insert row by row with ON CONFLICT DO NOTHING, or select the "
            "existing rows first and insert only the others",
            table=table.fullname,
        )
    if statement.select is not None:
        raise UnmanagedWriteError(
            f"INSERT … SELECT into {table.fullname!r} inserts rows that are not known in advance, so that they cannot "
            "be numbered; select the rows to insert first and pass them as parameters",
            table=table.fullname,
        )


def _add(bulk: Bulk, added: Sequence[Mapping[Column[Any], Any]]) -> None:
    """Add values to the rows of the statement: to its parameters, else to its VALUES."""
    dml, execution = bulk.dml, bulk.execution
    if dml.rows_of_values():
        statement = bulk.statement._generate()
        statement._multi_values = ()
        rows = zip(dml.rows_of_values(), added, strict=True)
        listed = [{**row, **{dml.expression(c): value for c, value in more.items()}} for row, more in rows]
        bulk.statement = dml.statement = statement.values(listed)
    elif dml.rows:
        dml.rows = [{**row, **_named(bulk, more)} for row, more in zip(dml.rows, added, strict=True)]
        execution.parameters = dml.rows
    elif dml.parameters:
        dml.parameters = {**dml.parameters, **_named(bulk, added[0])}
        execution.parameters = dml.parameters
    else:
        values = {dml.expression(column): value for column, value in added[0].items()}
        bulk.statement = dml.statement = bulk.statement.values(values)


def _named(bulk: Bulk, values: Mapping[Column[Any], Any]) -> dict[str, Any]:
    named = {bulk.dml.name_in_rows(column): value for column, value in values.items()}
    if None in named:
        raise UnmanagedWriteError(
            f"this INSERT names {bulk.table.fullname!r} by an object that lacks its numbered column; use the Table of "
            "the System's MetaData",
            table=bulk.table.fullname,
        )
    return {str(name): value for name, value in named.items()}
