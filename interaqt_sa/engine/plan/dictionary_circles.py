"""Refuse dictionaries that are computed, by way of the rows that read them, from themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Alias, Column, ColumnElement, Table
from sqlalchemy.sql import visitors

from ...errors import DefinitionFault
from ...schema.faults import Faults
from .plan import Plan
from .plan_nodes import ComputedValue, Edge, Part


def check_dictionary_circles(plan: Plan, faults: Faults) -> None:
    """Collect a fault for each dictionary on a circle of values; a change of it would never come to an end."""
    reads = _reads(plan)
    for value in reads:
        if plan.hosts[value.table].constant is None:
            continue
        way = _way_back(reads, value)
        if way is not None:
            names = " <- ".join(step.name for step in way)
            faults.found.append(
                DefinitionFault(
                    f"{value.name} is computed from itself: {names}; let one of them read data that does not depend "
                    "on it",
                    record=value.record,
                    property=value.attribute,
                )
            )


def _reads(plan: Plan) -> dict[ComputedValue, set[ComputedValue]]:
    """Return the values that each aggregate or evaluated value reads."""
    found: dict[ComputedValue, set[ComputedValue]] = {}
    for host in plan.hosts.values():
        for edge in host.edges:
            for part in edge.parts:
                columns = _columns(edge, part)
                values = {plan.columns[column] for column in columns if column in plan.columns}
                found.setdefault(part.value, set()).update(values)
    return found


def _columns(edge: Edge, part: Part) -> Iterator[Any]:
    """Yield the columns that the contribution to one value reads; other values may share the edge."""
    read: list[ColumnElement[Any]] = [*edge.criteria, *part.sql, *part.attributes.values(), *part.dictionaries.values()]
    read += [] if part.counts is None else [part.counts]
    for element in (element for expression in read for element in visitors.iterate(expression)):
        table = getattr(element, "table", None)
        if isinstance(table, Alias) and isinstance(table.element, Table):
            yield table.element.c[str(getattr(element, "key", ""))]
        elif isinstance(element, Column):
            yield element


def _way_back(reads: dict[ComputedValue, set[ComputedValue]], start: ComputedValue) -> list[ComputedValue] | None:
    waiting, seen = [[start]], set[ComputedValue]()
    while waiting:
        way = waiting.pop()
        for value in sorted(reads.get(way[-1], ()), key=lambda v: v.name):
            if value is start:
                return [*way, start]
            if value not in seen:
                seen.add(value)
                waiting.append([*way, value])
    return None
