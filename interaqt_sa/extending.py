"""What a kind of computation of your own is made of: a declaration, and how the engine keeps its value.

A declaration is a subclass of :class:`Aggregate` or :class:`FieldAggregate`. It says what its column must be, which
hidden columns it needs, and how an empty value looks. Beside it stands an :class:`Accumulator`, for values that are
added up, or a :class:`Selection`, for all others; :func:`accumulates` brings the two together. From then on the value
is kept true, checked, repaired and migrated like those of the package.

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

See "Kinds of your own" in the documentation.
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
]
