"""Translate expressions over mapped classes into Core expressions over a plan's FROM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.util import EMPTY_DICT


def replace_columns(
    expression: ColumnElement[Any], replacements: Mapping[Column[Any], ColumnElement[Any]]
) -> ColumnElement[Any]:
    """Return a plain Core copy of ``expression`` with columns replaced."""

    def replace(element: Any, **_: Any) -> Any:
        found = replacements.get(element) if isinstance(element, Column) else None
        # in the place of a column, "a = b" needs parentheses
        return found if found is None or isinstance(found, Column) else Grouping(found)

    copy = visitors.replacement_traverse(expression, {}, replace)
    for element in visitors.iterate(copy):
        # marks ORM expressions; it would turn an enclosing Core UPDATE into an ORM UPDATE
        if getattr(element, "_propagate_attrs", None):
            element._propagate_attrs = EMPTY_DICT  # type: ignore[attr-defined]
    return copy  # type: ignore[no-any-return]


def labelled(columns: Iterable[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return ``columns`` labelled ``c0``, ``c1`` …"""
    # names may repeat, which the RETURNING of a common table expression does not allow
    return [column.label(f"c{i}") for i, column in enumerate(columns)]
