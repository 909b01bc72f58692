"""Values that are computed from themselves: by way of their members, back to the row that they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement

from ...errors import DefinitionFault
from .expressions import columns_of
from .model import ComputedValue, Edge, Hop, Host, Part


def find_self_reading(hosts: Iterable[Host], values: Mapping[Column[Any], ComputedValue]) -> Iterator[DefinitionFault]:
    """Give a fault for each value that never settles.

    Values of *other* rows of the same table are no cycle: a node may well add up the totals of its children.

    :param values: every computed value by its column.
    """
    for host in hosts:
        reads = {part.value: set(_read_in_place(edge, part, values)) for edge in host.edges for part in edge.parts}
        for value in host.values:
            path = _way_back(value, reads)
            if path is not None:
                names = " -> ".join(step.name for step in path)
                yield DefinitionFault(
                    f"{value.name} is computed from itself: {names}, by way of the members of the same row; "
                    "let the members contribute what does not depend on it",
                    record=value.record,
                    property=value.attribute,
                )


def _read_in_place(edge: Edge, part: Part, values: Mapping[Column[Any], ComputedValue]) -> Iterator[ComputedValue]:
    """Give the values of the host's own row that a contribution reads."""
    expressions: list[ColumnElement[Any]] = [*edge.criteria, *part.sql, *part.attributes.values()]
    expressions += [part.counts] if part.counts is not None else []
    for hop in edge.hops:
        if _leads_to_host(edge, hop):
            for column in (column for expression in expressions for column in columns_of(expression)):
                found = values.get(hop.table.c[column.key]) if column.table is hop.alias else None
                if found is not None:
                    yield found


def _leads_to_host(edge: Edge, hop: Hop) -> bool:
    is_reference = hop.parent is None and tuple(hop.local) == tuple(edge.key)
    return is_reference and hop.table is edge.host.table and tuple(hop.remote) == tuple(edge.host_key)


def _way_back(value: ComputedValue, reads: Mapping[ComputedValue, set[ComputedValue]]) -> list[ComputedValue] | None:
    waiting, seen = [[value]], set[int]()
    while waiting:
        path = waiting.pop()
        for read in reads.get(path[-1], ()):
            if read is value:
                return [*path, value]
            if id(read) not in seen:
                seen.add(id(read))
                waiting.append([*path, read])
    return None
