"""Predicates of partial indexes, whose values are rendered as SQL literals."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from sqlalchemy import BinaryExpression, BindParameter, ColumnElement, false, true
from sqlalchemy.sql import operators, visitors

from ...errors import DefinitionFault

_EMPTY = {operators.in_op: false, operators.not_in_op: true}


def writable(predicate: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return ``predicate`` in a form that a partial index accepts.

    An empty ``IN`` is replaced by its constant result: SQLAlchemy renders it as a subquery, which SQLite does not allow
    there.

    :raises DefinitionFault: if it contains NaN or an infinity, which have no SQL literals.
    """
    for part in visitors.iterate(predicate):
        held: Any = getattr(part, "value", None)
        several: list[Any] = list(held) if isinstance(held, (list, tuple, set, frozenset)) else [held]
        for value in several:
            if isinstance(value, (float, Decimal)) and not math.isfinite(value):
                raise DefinitionFault(
                    f"where={predicate} compares with {value}, for which there is no SQL literal; "
                    "give bounds that are numbers"
                )

    def replace(element: Any, **_: Any) -> Any:
        if isinstance(element, BinaryExpression) and element.operator in _EMPTY:
            listed = element.right.element if hasattr(element.right, "element") else element.right
            if isinstance(listed, BindParameter) and listed.expanding and not listed.effective_value:
                return _EMPTY[element.operator]()
        return None

    return visitors.replacement_traverse(predicate, {}, replace)
