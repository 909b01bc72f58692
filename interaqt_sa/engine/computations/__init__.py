"""The maintenance of each kind of computation after a write; one kind per file.

The input is pending deltas and events; the output is updated hosts, changed states and derived rows, which are writes
again. Kinds that are summed or selected register with :func:`.accumulates`, as custom kinds of applications do;
:mod:`.agenda` runs the pending work, :mod:`.delta_application` and :mod:`.selection_application` write hosts,
:mod:`.evaluated_values` calls functions of the application, :mod:`.recompute` computes from all members. Read
:mod:`.agenda` first, and :mod:`.summation` as an example of a kind.
"""

from ..plan.accumulator import Accumulator, Contribution, Selection, accumulates, accumulator_for
from . import (
    average,
    count,
    custom,
    extremes,
    filtered_membership,
    first_and_latest,
    quantifiers,
    real_time,
    same_row,
    scoped_sequence,
    state_machine,
    summation,
    transform,
    weighted_summation,
)

__all__ = [
    "Accumulator",
    "Contribution",
    "Selection",
    "accumulates",
    "accumulator_for",
    "average",
    "count",
    "custom",
    "extremes",
    "filtered_membership",
    "first_and_latest",
    "quantifiers",
    "real_time",
    "same_row",
    "scoped_sequence",
    "state_machine",
    "summation",
    "transform",
    "weighted_summation",
]
