"""Checks of the conditions of filtered records."""

from __future__ import annotations

from collections.abc import Iterable

from ..compile.filtered_records import FilteredPlan
from ..faults import Faults
from .computation_checks import check_condition
from .record_outlines import Outlines


def check_filtered(plans: Iterable[FilteredPlan], outlines: Outlines, faults: Faults) -> None:
    """Collect the faults of the conditions of filtered records: they read columns of the row and along x:1 paths."""
    for plan in plans:
        if plan.definition.match_expression is not None:
            base = outlines.planned[plan.root] if isinstance(plan.root, str) else outlines.of(plan.root)
            check_condition(faults, plan.name, plan.definition.match_expression, base)
