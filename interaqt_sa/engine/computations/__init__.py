"""One module per computation; each registers through :func:`.accumulates`, the door that users' own use."""

from . import average, count, quantifiers, summation
from .accumulator import Accumulator, Contribution, accumulates, accumulator_for

__all__ = [
    "Accumulator",
    "Contribution",
    "accumulates",
    "accumulator_for",
    "average",
    "count",
    "quantifiers",
    "summation",
]
