"""Base classes and functions for kinds of computations of your own.

A kind is a subclass of :class:`Aggregate` or :class:`FieldAggregate`, which defines the type of its column, the hidden
columns and the initial value. It is registered by :func:`accumulates` with an :class:`Accumulator`, for values that are
sums of contributions, or a :class:`Selection`, for all others. Its values are then maintained, checked, repaired and
migrated like those of the package.

::

    class SumOfSquares(FieldAggregate[Any]):
        _fields = ("source", "field")

        def __init__(self, source, field):
            self.set_source(source)
            self.set_field(field)

        def initial_value(self, column=None):
            return 0


    @accumulates(SumOfSquares)
    class SumOfSquaresAccumulator(Accumulator):
        def sql(self, resolve, test):
            number = as_number(resolve(self.computation.field))
            return [number * number]

See "Custom kinds of computations" in the documentation.
"""

from __future__ import annotations

from .definitions.aggregates import Aggregate, FieldAggregate
from .definitions.computation import Computation
from .definitions.extremes import check_ordered_field
from .definitions.references import References
from .definitions.value_column_checks import check_summed_field, counter, exact_sum, require_type
from .engine.engine import (
    Accumulator,
    Contribution,
    Resolve,
    Selection,
    Test,
    accumulates,
    as_number,
    greater,
    is_number,
    lesser,
    without_nan,
)

__all__ = [
    "Accumulator",
    "Aggregate",
    "Computation",
    "Contribution",
    "FieldAggregate",
    "References",
    "Resolve",
    "Selection",
    "Test",
    "accumulates",
    "as_number",
    "check_ordered_field",
    "check_summed_field",
    "counter",
    "exact_sum",
    "greater",
    "is_number",
    "lesser",
    "require_type",
    "without_nan",
]
