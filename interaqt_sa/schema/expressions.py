"""What SQL expressions in declarations read."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from sqlalchemy import Column, ColumnElement
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import SelectBase

from ..errors import DefinitionFault


def columns_of(expression: ColumnElement[Any]) -> list[Column[Any]]:
    """Return every table column in ``expression``.

    :raises DefinitionFault: if it holds a subquery, whose rows nobody watches.
    """
    found: list[Column[Any]] = []
    for element in visitors.iterate(expression):
        if isinstance(element, SelectBase):
            raise DefinitionFault(
                "the expression holds a subquery, whose rows are not watched; use a path such as "
                "{'product.active': True}, or an aggregate of its own on the related record"
            )
        if isinstance(element, Column):
            found.append(element)
    return found


def check_columns(expression: ColumnElement[Any], own: Container[Column[Any]], name: str) -> list[Column[Any]]:
    """Return every table column in ``expression``.

    :param own: the columns that it may read, those of the record ``name``.
    :raises DefinitionFault: if it reads others, or holds a subquery.
    """
    found = columns_of(expression)
    for column in found:
        if column not in own:
            raise DefinitionFault(
                f"{expression} reads {column}, which is not a column of {name}; "
                "use a path such as {'product.active': True}"
            )
    return found
