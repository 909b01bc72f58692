"""Find rows that violate a new constraint before the database does, and report them."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, Connection, TextClause, column, func, inspect, literal_column, select, table, text

from ..errors import ConstraintSetupError
from .operations import CheckRows, CheckUnique

#: a colon that is not escaped yet
_COLON = re.compile(r"(?<!\\):")
#: the maximum number of rows in a report
SHOWN = 20


def check_unique(connection: Connection, operation: CheckUnique) -> None:
    """Check that no rows violate the unique constraint.

    :raises ConstraintSetupError: with the violating rows in ``rows``: mappings of primary key and covered columns.
    """
    covered = [_expression(item) for item in operation.columns]
    key: list[ColumnElement[Any]] = [
        column(name)
        for name in inspect(connection).get_pk_constraint(operation.table, schema=operation.schema)[
            "constrained_columns"
        ]
        if name not in operation.columns
    ]
    members = func.count().over(partition_by=covered)
    rows = select(*key, *covered, members.label("interaqt_members")).select_from(
        table(operation.table, schema=operation.schema)
    )
    if not operation.nulls_not_distinct:
        rows = rows.where(*(expression.is_not(None) for expression in covered))
    if operation.where:
        # it contains no parameters
        predicate = _COLON.sub(r"\\:", operation.where)
        rows = rows.where(text(f"({predicate})"))
    found = rows.subquery("interaqt_rows")
    *shown, count = found.columns
    statement = select(*shown).where(count > 1).order_by(*shown[len(key) :], *shown[: len(key)]).limit(SHOWN)
    offending = [dict(row) for row in connection.execute(statement).mappings()]
    if offending:
        total = connection.scalar(select(func.count()).select_from(found).where(count > 1))
        raise _report(operation, offending, total or 0)


def check_rows(connection: Connection, operation: CheckRows) -> None:
    """Check that no rows violate a new requirement.

    :raises ConstraintSetupError: with the first violating rows in ``rows``: mappings of primary key and columns.
    """
    key = inspect(connection).get_pk_constraint(operation.table, schema=operation.schema)["constrained_columns"]
    names = [*key, *(name for name in operation.columns if name not in key)]
    source = table(operation.table, schema=operation.schema)
    predicate = text(_COLON.sub(r"\\:", operation.where))
    statement = select(*map(column, names)) if names else select(text("*"))
    statement = statement.select_from(source).where(predicate).order_by(*map(column, key)).limit(SHOWN)
    offending = [dict(row) for row in connection.execute(statement).mappings()]
    if offending:
        total = connection.scalar(select(func.count()).select_from(source).where(predicate)) or 0
        raise ConstraintSetupError(
            f"{operation.required} cannot be added: {total} rows of {operation.table} prevent it. Nothing was "
            f"changed; resolve these rows and upgrade again:\n{_listed(offending, total)}",
            table=operation.table,
            properties=operation.columns,
            rows=offending,
        )


def _expression(item: str | TextClause) -> ColumnElement[Any]:
    if isinstance(item, str):
        return column(item)
    expression: ColumnElement[Any] = literal_column(item.text)
    return expression.label(None)


def _listed(offending: list[dict[str, Any]], total: int) -> str:
    lines = [f"  {', '.join(f'{name}={value!r}' for name, value in row.items())}" for row in offending]
    return "\n".join([*lines, *([f"  … {total} in all"] if total > len(offending) else [])])


def _report(operation: CheckUnique, offending: list[dict[str, Any]], total: int) -> ConstraintSetupError:
    columns = [item if isinstance(item, str) else item.text for item in operation.columns]
    condition = f" where {operation.where}" if operation.where else ""
    return ConstraintSetupError(
        f"{operation.constraint or 'a unique constraint'} cannot be created: rows of {operation.table} are not unique "
        f"in ({', '.join(columns)}){condition}. Nothing was changed; resolve these rows and upgrade again:\n"
        + _listed(offending, total),
        constraint=operation.constraint,
        table=operation.table,
        properties=tuple(columns),
        rows=offending,
    )
