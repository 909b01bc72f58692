"""WeightedSummation: the sum of weight times value over the members."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, cast

from ...definitions.weighted_summation import WeightedSummation
from ...dialects.running_sum_type import ALL_DIGITS
from ...dialects.undecorated_types import stored_type
from ..plan.accumulator import Accumulator, Contribution, Resolve, Test, accumulates
from ..sql.exact_numbers import as_number


@accumulates(WeightedSummation)
class WeightedSummationAccumulator(Accumulator):
    """The computed column is the running sum, or is computed from a NUMERIC running sum."""

    def sql(self, resolve: Resolve, test: Test) -> Sequence[ColumnElement[Any]]:
        weight, value = resolve(self.computation.weight), resolve(self.computation.value)
        number = as_number(weight)
        if all(isinstance(stored_type(factor.type), Integer) for factor in (weight, value)):
            # PostgreSQL computes the product of integers in their own type, which may be narrower than the column
            number = cast(number, BigInteger)
        return [number * as_number(value)]

    def python(self, answer: Any) -> Contribution:
        if answer is None:
            return (0,)
        if not isinstance(answer, Mapping) or not {"weight", "value"} <= answer.keys():
            raise ValueError(f'return {{"weight": …, "value": …}} or None, not {answer!r}')
        weight, value = _number(answer["weight"]), _number(answer["value"])
        return (ALL_DIGITS.multiply(weight, value),)


def _number(given: Any) -> Decimal:
    """Return a number with its decimal digits; 0 for None, NaN and the infinities."""
    if given is None or (isinstance(given, float) and not math.isfinite(given)):
        return Decimal(0)
    if isinstance(given, bool) or not isinstance(given, (int, float, Decimal)):
        raise ValueError(f"a weight or value must be a number, not {given!r}")  # noqa: TRY004  of the answer, not of an argument
    number = Decimal(repr(given)) if isinstance(given, float) else Decimal(given)
    return number if number.is_finite() else Decimal(0)
