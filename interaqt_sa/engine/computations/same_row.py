"""Same-row values; :mod:`..database.same_row_functions` computes them."""

from __future__ import annotations

from typing import Any

from ...definitions.same_row import SameRow
from ..plan import ComputedValue, Plan
from ..plan.kinds import add_value
from ..plan.watched_tables import Sources


@add_value.register(SameRow)
def _add(declaration: SameRow[Any], plan: Plan, sources: Sources, value: ComputedValue) -> None:
    sources.mapper(value.mapper).same_row.append(value)
