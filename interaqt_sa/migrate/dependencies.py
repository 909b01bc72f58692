"""In which order values are computed, and which have to follow when others change."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sqlalchemy import Column

from ..engine.plan import ComputedValue, Plan
from ..engine.plan.reactions import Derivation


def with_dependents(plan: Plan, names: set[str]) -> list[ComputedValue]:
    """Return the values ``names``, and every value that is computed from one of them, inputs first."""
    inputs = _inputs(plan)
    try:
        order = [name for name in TopologicalSorter(inputs).static_order() if name in plan.computed]
    except CycleError:
        # values of a tree are computed from each other; the engine settles their rows
        order = list(plan.computed)
    affected = set(names)
    for _ in order:
        grown = affected | {name for name in order if inputs[name] & affected}
        if grown == affected:
            break
        affected = grown
    return [plan.computed[name] for name in order if name in affected]


def derivations(plan: Plan) -> dict[str, Derivation]:
    """Return the Transforms whose rows follow those of another record, by the name of the derived record."""
    return {derivation.name: derivation for derivation in plan.derivations if derivation.origin is not None}


def reads_any(derivation: Derivation, values: Iterable[ComputedValue]) -> bool:
    """Whether a derived row may depend on one of ``values``."""
    assert derivation.origin is not None
    read = {column for name in derivation.attributes for column in derivation.origin.column_attrs[name].columns}
    return any(value.column in read for value in values)


def _inputs(plan: Plan) -> dict[str, set[str]]:
    """Return the names of the values that each value is computed from."""
    read: dict[str, set[Column[Any]]] = {name: set() for name in plan.computed}
    for host in plan.hosts.values():
        for edge in host.edges:
            columns = edge.inputs.union(*(hop.inputs for hop in edge.hops))
            for part in edge.parts:
                read[part.value.name] |= columns
    for source in plan.sources.values():
        for place, value in enumerate(source.same_row):
            # a function of the row may read anything in it, but of its own kind only what is declared before it
            later = {other.column for other in source.same_row[place:]}
            read[value.name] |= {column for column in value.table.columns if column not in later}
    return {
        name: {other.name for column in columns if (other := _value_of(plan, column)) is not None} - {name}
        for name, columns in read.items()
    }


def _value_of(plan: Plan, column: Column[Any]) -> ComputedValue | None:
    return plan.columns.get(column)
