"""The columns that SQL expressions in declarations read."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from sqlalchemy import Column, ColumnElement
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import SelectBase

from ...errors import DefinitionFault

#: functions whose result changes without a write
_CHANGING = frozenset(
    {
        *("now", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp", "timeofday"),
        *("clock_timestamp", "statement_timestamp", "transaction_timestamp", "random", "nextval"),
        *("gen_random_uuid", "uuid_generate_v4", "current_user", "session_user"),
    }
)


def columns_of(expression: ColumnElement[Any]) -> list[Column[Any]]:
    """Return all table columns in ``expression``.

    :raises DefinitionFault: if it contains a subquery, whose rows are not watched, or a volatile function, such as
        ``now()`` or ``random()``.
    """
    found: list[Column[Any]] = []
    for element in visitors.iterate(expression):
        if isinstance(element, SelectBase):
            raise DefinitionFault(
                "the expression holds a subquery, whose rows are not watched; use a path such as "
                "{'product.active': True}, or an aggregate of its own on the related record"
            )
        if isinstance(element, FunctionElement) and getattr(element, "name", "").lower() in _CHANGING:
            raise DefinitionFault(
                f"{element} gives another value each time, and no row changes when it does; store the value in a "
                "column, or compare when you read"
            )
        if isinstance(element, Column):
            found.append(element)
    return found


def check_columns(expression: ColumnElement[Any], own: Container[Column[Any]], name: str) -> list[Column[Any]]:
    """Return all table columns in ``expression``, which may read only its own record.

    :param own: the columns of the record.
    :param name: the name of the record.
    :raises DefinitionFault: if it reads other columns, and as for :func:`columns_of`.
    """
    found = columns_of(expression)
    for column in found:
        if column not in own:
            raise DefinitionFault(
                f"{expression} reads {column}, which is not a column of {name}; "
                "use a path such as {'product.active': True}"
            )
    return found
