"""Min and Max: the least and the greatest value of the members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, func

from ...definitions.extremes import Max, Min
from ...dialects.functions import without_nan
from ..plan.accumulator import Resolve, Selection, Test, accumulates


class ExtremeSelection(Selection):
    """The computed column is the extreme; only a member with this value can change it by leaving."""

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        return [without_nan(resolve(self.computation.field))]


@accumulates(Min)
class MinSelection(ExtremeSelection):
    """The least value."""

    is_last = False

    def total(self, shown: Sequence[ColumnElement[Any]]) -> Sequence[ColumnElement[Any]]:
        return [func.min(shown[0])]

    def joined(
        self, running: Sequence[ColumnElement[Any]], more: Sequence[ColumnElement[Any]]
    ) -> Sequence[ColumnElement[Any]]:
        return [lesser(running[0], more[0])]

    def may_change(self, running: Sequence[ColumnElement[Any]], left: Sequence[ColumnElement[Any]]) -> Any:
        return left[0] <= running[0]


@accumulates(Max)
class MaxSelection(ExtremeSelection):
    """The greatest value."""

    is_last = True

    def total(self, shown: Sequence[ColumnElement[Any]]) -> Sequence[ColumnElement[Any]]:
        return [func.max(shown[0])]

    def joined(
        self, running: Sequence[ColumnElement[Any]], more: Sequence[ColumnElement[Any]]
    ) -> Sequence[ColumnElement[Any]]:
        return [greater(running[0], more[0])]

    def may_change(self, running: Sequence[ColumnElement[Any]], left: Sequence[ColumnElement[Any]]) -> Any:
        return left[0] >= running[0]


def lesser(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the lesser of two values; if one is NULL, the other one."""
    return case((other.is_(None), one), (one.is_(None), other), (other < one, other), else_=one)


def greater(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the greater of two values; if one is NULL, the other one."""
    return case((other.is_(None), one), (one.is_(None), other), (other > one, other), else_=one)
