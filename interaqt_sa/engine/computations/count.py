"""Count: the number of members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, literal_column

from ...definitions.aggregates import Count
from ..plan.accumulator import Accumulator, Contribution, Resolve, Test, accumulates


@accumulates(Count)
class CountAccumulator(Accumulator):
    """The computed column is the running count."""

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        return [literal_column("1")]

    def python(self, answer: Any) -> Contribution:
        return (1 if answer else 0,)
