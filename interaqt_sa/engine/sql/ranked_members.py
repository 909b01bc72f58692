"""SQL over members in an order: the place of each, and for a ranking its key and its attribute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, and_, func, literal_column, or_, select

from ..plan import ComputedValue, Edge
from ..plan.accumulator import Ranking, Selection
from .statement_cache import Statements

Values = Sequence[ColumnElement[Any]]


def is_ranking(value: ComputedValue) -> bool:
    """Whether a value is an attribute of the member that comes first."""
    return isinstance(value.accumulator, Ranking)


def is_read_in_order(value: ComputedValue) -> bool:
    """Whether one member is read, in an order, instead of all."""
    return is_ranking(value) or (len(value.running) == 1 and selection_of(value).is_last is not None)


def selection_of(value: ComputedValue) -> Selection:
    """Return the selection of a value that is neither additive nor a ranking."""
    assert isinstance(value.accumulator, Selection)
    return value.accumulator


def in_order(value: ComputedValue, shown: Values) -> list[ColumnElement[Any]]:
    """Return the ORDER BY of members by their values: all but the last, which for a ranking is its attribute."""
    return [each.desc() if _is_last(value) else each.asc() for each in shown[:-1] or shown]


def comes_before(value: ComputedValue, one: Values, other: Values) -> ColumnElement[bool]:
    """Return whether a member comes before another one; NULL if one of them has no place."""
    alternatives: list[ColumnElement[bool]] = []
    for place in range(len(one) - 1):
        same = [one[i] == other[i] for i in range(place)]
        is_before = one[place] > other[place] if _is_last(value) else one[place] < other[place]
        alternatives.append(and_(*same, is_before))
    return or_(*alternatives)


def leading(value: ComputedValue, keys: Values, shown: Values, name: str | None = None) -> Subquery:
    """Return the member that comes first for each host key: its key (``k0`` …) and its values (``v0`` …)."""
    place = func.row_number().over(partition_by=list(keys), order_by=in_order(value, shown)).label("place")
    columns = [key.label(f"k{i}") for i, key in enumerate(keys)]
    columns += [each.label(f"v{i}") for i, each in enumerate(shown)]
    each_member = select(*columns, place).where(shown[1].is_not(None)).subquery(name and f"{name}_in_order")
    found = [column for column in each_member.c if column.name != "place"]
    return select(*found).where(each_member.c.place == literal_column("1")).subquery(name)


def ranked_members(statements: Statements, edge: Edge, value: ComputedValue) -> Select[Any]:
    """Return a SELECT of the host key (``k0`` …) and the values (``v0`` …) of all members that have a place.

    The values are columns without conditions around them, so that an index on them gives their order.
    """
    part = next(part for part in edge.parts if part.value is value)
    columns = [key.label(f"k{i}") for i, key in enumerate(edge.key)]
    columns += [each.label(f"v{i}") for i, each in enumerate(part.ranked)]
    statement = select(*columns).select_from(statements.joined(edge)).where(*edge.criteria)
    if part.counts is not None:
        statement = statement.where(part.counts)
    return statements.with_host(edge, statement)


def _is_last(value: ComputedValue) -> bool:
    assert isinstance(value.accumulator, (Ranking, Selection))
    return bool(value.accumulator.is_last)
