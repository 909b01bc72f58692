"""Membership: whether a row belongs to a filtered record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, case

from ...definitions.filtered_membership import Membership
from ..plan.accumulator import Accumulator, Resolve, Test, accumulates


@accumulates(Membership)
class MembershipAccumulator(Accumulator):
    """A row contributes 1 to itself if all conditions hold."""

    computation: Membership

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        return [case((and_(*map(test, self.computation.conditions)), 1), else_=0)]
