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
        # where a column stood, "a = b" needs parentheses
        return found if found is None or isinstance(found, Column) else Grouping(found)

    copy = visitors.replacement_traverse(expression, {}, replace)
    for element in visitors.iterate(copy):
        # the mark of ORM expressions, which would make a Core UPDATE around them an ORM one
        if getattr(element, "_propagate_attrs", None):
            element._propagate_attrs = EMPTY_DICT  # type: ignore[attr-defined]
    return copy  # type: ignore[no-any-return]


def labelled(columns: Iterable[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return ``columns`` named ``c0``, ``c1`` …"""
    # two expressions may share a name, and a RETURNING in a common table expression must not
    return [column.label(f"c{i}") for i, column in enumerate(columns)]
