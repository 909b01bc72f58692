"""One module per computation; each registers through :func:`.accumulates`, the door that users' own use."""

from . import average, count, extremes, quantifiers, summation, weighted_summation
from .accumulator import Accumulator, Contribution, Selection, accumulates, accumulator_for

__all__ = [
    "Accumulator",
    "Contribution",
    "Selection",
    "accumulates",
    "accumulator_for",
    "average",
    "count",
    "extremes",
    "quantifiers",
    "summation",
    "weighted_summation",
]
