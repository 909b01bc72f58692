"""The order in which values are computed, and the values that depend on changed ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sqlalchemy import Column, Table

from ..engine.engine import ComputedValue, Derivation, Plan
from ..schema.filtered_record import is_membership

Inputs = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Pass:
    """Values of one table that are filled in one pass over its rows.

    :ivar follow: whether rows depend on each other, so that dependent values are updated at once; see
        :func:`.backfill_values`.
    """

    table: Table
    values: Sequence[ComputedValue]
    follow: bool = False


def with_dependents(plan: Plan, names: Collection[str]) -> list[ComputedValue]:
    """Return the values ``names``, and every value that is computed from one of them, inputs first."""
    inputs = _inputs(plan)
    affected = _affected(plan, inputs, names)
    return [plan.computed[name] for name in _in_order(plan, inputs) if name in affected]


def passes(plan: Plan, names: Collection[str]) -> list[Pass]:
    """Return the passes that fill ``names`` and the values computed from them, with as few passes as possible."""
    inputs = _inputs(plan)
    cyclic = _cyclic(inputs)
    remaining = {value.name: value for value in with_dependents(plan, names)}
    found: list[Pass] = []
    while remaining:
        ready = [value for value in remaining.values() if _is_ready(value, remaining, inputs, cyclic)]
        table = ready[0].table
        group = {value.name: value for value in ready if value.table is table}
        while further := {
            name: value
            for name, value in remaining.items()
            # functions of a row run after the aggregates of the row; an aggregate over rows of the same table needs all
            # of them first
            if value.table is table
            and value.is_same_row
            and name not in group
            and not (_inputs_of(name, inputs, cyclic) & remaining.keys() - group.keys())
        }:
            group |= further
        found.append(Pass(table, list(group.values()), follow=any(name in cyclic for name in group)))
        for name in group:
            del remaining[name]
    return found


def derivations(plan: Plan) -> dict[str, Derivation]:
    """Return the Transforms that derive rows from those of another record, by the name of the derived record."""
    return {derivation.name: derivation for derivation in plan.derivations if derivation.origin is not None}


def reads_any(derivation: Derivation, values: Iterable[ComputedValue]) -> bool:
    """Whether a derived row may depend on one of ``values``."""
    assert derivation.origin is not None
    read = {column for name in derivation.attributes for column in derivation.origin.column_attrs[name].columns}
    if derivation.members is not None:
        read.update(derivation.members.membership.property.columns)
    return any(value.column in read for value in values)


def reading(plan: Plan, columns: set[Column[Any]]) -> set[str]:
    """Return the names of the values and derived rows that are computed from one of ``columns``."""
    names = {name for name, read in read_columns(plan).items() if not read.isdisjoint(columns)}
    for name, derivation in derivations(plan).items():
        origin: Any = derivation.origin
        if any(column in columns for key in derivation.attributes for column in origin.column_attrs[key].columns):
            names.add(name)
    return names


def _affected(plan: Plan, inputs: Inputs, names: Collection[str]) -> set[str]:
    affected = {name for name in names if name in plan.computed}
    while True:
        grown = affected | {name for name, read in inputs.items() if affected.intersection(read)}
        # if one function of a row is called, all are
        refreshed = {plan.computed[name].table for name in grown if plan.computed[name].is_same_row}
        grown |= {name for name, v in plan.computed.items() if v.is_same_row and v.table in refreshed}
        if grown == affected:
            return affected
        affected = grown


def _in_order(plan: Plan, inputs: Inputs) -> list[str]:
    try:
        return [name for name in TopologicalSorter(inputs).static_order() if name in plan.computed]
    except CycleError:
        # values of a tree are computed from each other: their order does not matter
        cyclic = _cyclic(inputs)
        apart = {name: {n for n in read if n not in cyclic or name not in cyclic} for name, read in inputs.items()}
        return [name for name in TopologicalSorter(apart).static_order() if name in plan.computed]


def _is_ready(value: ComputedValue, remaining: Collection[str], inputs: Inputs, cyclic: Collection[str]) -> bool:
    return not any(name in remaining for name in _inputs_of(value.name, inputs, cyclic))


def _inputs_of(name: str, inputs: Inputs, cyclic: Collection[str]) -> set[str]:
    """Return the values that have to be filled before ``name``, without those that depend on it."""
    return {read for read in inputs[name] if name not in cyclic or read not in cyclic}


def _cyclic(inputs: Inputs) -> set[str]:
    """Return the values that depend on themselves, as those over trees do."""
    return {name for name in inputs if name in _reached(inputs, name)}


def _reached(inputs: Inputs, start: str) -> set[str]:
    found: set[str] = set()
    open_ = list(inputs[start])
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            open_ += inputs.get(name, ())
    return found


def _inputs(plan: Plan) -> dict[str, set[str]]:
    """Return the names of the values that each value is computed from."""
    return {
        name: {other.name for column in columns if (other := plan.columns.get(column)) is not None} - {name}
        for name, columns in read_columns(plan).items()
    }


def read_columns(plan: Plan) -> dict[str, set[Column[Any]]]:
    """Return the columns that each value is computed from."""
    read: dict[str, set[Column[Any]]] = {name: set() for name in plan.computed}
    for host in plan.hosts.values():
        for edge in host.edges:
            columns = edge.inputs.union(*(hop.inputs for hop in edge.hops))
            for part in edge.parts:
                read[part.value.name] |= columns
    for source in plan.sources.values():
        for place, value in enumerate(source.same_row):
            # a function of a row may read all its columns, except same-row values declared after its own
            later = {other.column for other in source.same_row[place:]}
            own = (column for column in value.table.columns if not is_membership(column))
            read[value.name] |= {column for column in own if column not in later}
    return read
