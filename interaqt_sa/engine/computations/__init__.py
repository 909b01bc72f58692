"""How each kind of computation follows a write; one kind per file.

In come pending changes and events, out go updated hosts, moved states and derived rows, which are writes again. Kinds
that are added up or selected register by :func:`.accumulates`, the door that users' own kinds take too; :mod:`.agenda`
runs what is pending, :mod:`.delta_application` and :mod:`.selected_aggregates` write hosts, :mod:`.recompute`
computes from all members. Read :mod:`.agenda` first, and :mod:`.summation` for what a kind looks like.
"""

from ..plan.accumulator import Accumulator, Contribution, Selection, accumulates, accumulator_for
from . import (
    average,
    count,
    extremes,
    quantifiers,
    same_row,
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
    "extremes",
    "quantifiers",
    "same_row",
    "state_machine",
    "summation",
    "transform",
    "weighted_summation",
]
