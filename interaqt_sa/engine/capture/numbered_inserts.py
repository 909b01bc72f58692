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
    # if the statement fails, the numbers have to be returned with its rows
    bulk.unit.protect(bulk.propagation.db.connection(bulk.source))
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
    finally:
        execution.parameters = given


def _refuse_unknown_rows(bulk: Bulk, table: Table) -> None:
    statement = bulk.statement
    if conflict_clauses(statement) or any("IGNORE" in str(prefix).upper() for prefix, _ in statement._prefixes):
        raise UnmanagedWriteError(
            f"an INSERT into {table.fullname!r} that skips or updates existing rows would leave gaps in the numbers of "
            "its sequence: select the existing rows first, lock what decides it, and insert only the others",
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
