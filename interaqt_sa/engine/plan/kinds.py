"""Registry of the functions that add kinds of computations to a plan.

Aggregates need no function of their own: they register an :class:`.Accumulator`.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from sqlalchemy.orm import Mapper

from ...definitions.computation import Computation
from ...errors import DefinitionFault
from .plan import Plan
from .plan_nodes import ComputedValue
from .watched_tables import Sources


@singledispatch
def add_value(computation: Computation[Any], plan: Plan, sources: Sources, value: ComputedValue) -> None:
    """Add the value of a column to a plan.

    :raises DefinitionFault: if no such kind is registered, or the engine cannot follow rows that it names.
    """
    raise DefinitionFault(f"{type(computation).__name__} cannot be declared on a property")


@singledispatch
def add_rows(computation: Computation[Any], plan: Plan, sources: Sources, mapper: Mapper[Any]) -> None:
    """Add a computation that creates the rows of a class to a plan.

    :raises DefinitionFault: as for :func:`add_value`.
    """
    raise DefinitionFault(f"{type(computation).__name__} does not create rows")
