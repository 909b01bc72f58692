"""Every and Any: counts of the members that fail, or pass, a test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any as _Any

from sqlalchemy import ColumnElement, and_, case, literal_column

from ...definitions.aggregates import Any, Every
from ..plan.accumulator import Accumulator, Contribution, Resolve, Test, accumulates

_ONE: ColumnElement[_Any] = literal_column("1")
_ZERO: ColumnElement[_Any] = literal_column("0")


@accumulates(Every)
class EveryAccumulator(Accumulator):
    """Whether no member fails the test; a NULL result fails."""

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[_Any]]:
        failed = case((test(self.computation.expression), _ZERO), else_=_ONE)
        return [failed, _ONE] if self.computation.not_empty else [failed]

    def python(self, answer: _Any) -> Contribution:
        return (0 if answer else 1, 1) if self.computation.not_empty else (0 if answer else 1,)

    def result(self, running: Sequence[ColumnElement[_Any]]) -> ColumnElement[_Any]:
        passed = running[0] == _ZERO
        return and_(passed, running[1] > _ZERO) if len(running) > 1 else passed


@accumulates(Any)
class AnyAccumulator(Accumulator):
    """Whether some member passes the test."""

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[_Any]]:
        return [case((test(self.computation.expression), _ONE), else_=_ZERO)]

    def python(self, answer: _Any) -> Contribution:
        return (1 if answer else 0,)

    def result(self, running: Sequence[ColumnElement[_Any]]) -> ColumnElement[_Any]:
        return running[0] > _ZERO
