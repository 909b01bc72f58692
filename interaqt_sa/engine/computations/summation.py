"""Summation: the sum of a column over the members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement

from ...definitions.aggregates import Summation
from ..plan.accumulator import Accumulator, Resolve, Test, accumulates
from ..sql.exact_numbers import as_number


@accumulates(Summation)
class SummationAccumulator(Accumulator):
    """The computed column is the running sum; a float is computed from a NUMERIC running sum."""

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        return [as_number(resolve(self.computation.field))]
