"""First and Latest: an attribute of the member that comes first, or last."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement

from ...definitions.first_and_latest import First, Latest
from ..plan.accumulator import Ranking, Resolve, Test, accumulates


@accumulates(First)
class FirstRanking(Ranking):
    """The member with the least value, and of several the least key."""

    def sql(self, resolve: Resolve, test: Test) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        return resolve(self.computation.by), resolve(self.computation.field)


@accumulates(Latest)
class LatestRanking(FirstRanking):
    """The reverse order."""

    is_last = True
