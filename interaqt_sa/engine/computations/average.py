"""Average: a sum and a count of members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, literal, literal_column, null

from ...definitions.aggregates import Average
from ...dialects.functions import trimmed
from ..plan.accumulator import Accumulator, Resolve, Test, accumulates
from ..sql.exact_numbers import as_number, is_number


@accumulates(Average)
class AverageAccumulator(Accumulator):
    """A running sum and a running count."""

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        value = resolve(self.computation.field)
        one: ColumnElement[Any] = literal_column("1")
        counted = one if self.computation.nulls == "zero" else case((is_number(value), one), else_=literal_column("0"))
        return [as_number(value), counted]

    def result(self, running: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
        total, count = running
        empty = self.computation.empty
        # "* 1.0" prevents integer division on SQLite
        quotient = trimmed(total * literal_column("1.0")) / count
        return case((count == 0, null() if empty is None else literal(empty)), else_=quotient)
