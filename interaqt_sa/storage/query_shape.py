"""The shape of a query: everything that its statements depend on, without the values."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from ..definitions.match import MatchExp
from ..definitions.type_aliases import Where
from .attributes import Nested, Selection
from .query_parameters import Values, is_sql, parametrized


def parametrized_match(match: Where | None, values: Values) -> Where | None:
    """Return ``match`` with parameters for its values, which are appended to ``values``; SQL is not changed."""
    given: Any = match
    if given is None:
        return None
    if is_sql(given):
        values.with_sql = True
        return match
    return parametrized(given if isinstance(given, MatchExp) else MatchExp.from_object(given), values)


def selection_shape(selection: Selection, values: Values) -> tuple[Selection, Hashable]:
    """Return ``selection`` with parameters for the values of its matches, and the shape of its statements."""
    parts: list[Hashable] = [selection.mapper, *selection.columns]
    nested: dict[str, Nested] = {}
    for name, part in selection.nested.items():
        nested[name], shape = _nested_shape(part, values)
        parts.append((name, shape))
    link = None
    if selection.link is not None:
        link, shape = selection_shape(selection.link, values)
        parts.append(("&", shape))
    return Selection(selection.mapper, selection.columns, nested, link), tuple(parts)


def _nested_shape(nested: Nested, values: Values) -> tuple[Nested, Hashable]:
    selection, shape = selection_shape(nested.selection, values)
    match, modifier = parametrized_match(nested.match, values), nested.modifier
    limits = (modifier.limit, modifier.offset, *modifier.order_by.items())
    return replace(nested, selection=selection, match=match), (shape, match, limits)
