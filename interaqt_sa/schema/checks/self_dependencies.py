"""Detection of self-dependent computations: values computed, through their members, from themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from sqlalchemy import Column

from ...definitions.computation import computation_of
from ...definitions.match import Atom
from ...definitions.references import References
from ...errors import DefinitionFault
from ..predicates.predicate_values import parts_of
from .record_outlines import Outline


class SelfDependencies:
    """Collect the computed values that each value reads on its own row, and find self-dependent ones.

    Reading values of *other* rows of the same table is allowed: a node may sum the totals of its children.
    """

    def __init__(self) -> None:
        self._places: dict[Column[Any], tuple[str, str]] = {}
        self._reads: dict[Column[Any], list[Column[Any]]] = {}

    def add(self, host: Outline, attribute: str, column: Column[Any], named: References) -> None:
        """Add the aggregate in ``column``."""
        self._places[column] = host.name, attribute
        way = host.way(named.members)
        for path in _paths(named):
            step, _, last = path.partition(".")
            back = way.target().ways.get(step)
            is_reverse = back is not None and back.key is not None and back.key == way.key and not way.by_key
            if back is None or not is_reverse or not back.by_key:
                continue
            with suppress(DefinitionFault):  # already collected
                there = back.target()
                columns: list[Any] = [there.columns.get(name) for name in (there.columns if last == "*" else [last])]
                self._reads.setdefault(column, []).extend(c for c in columns if computation_of(c) is not None)

    def add_own(self, host: Outline, attribute: str, column: Column[Any], paths: Iterable[str]) -> None:
        """Add a value that is computed from attributes of its own row."""
        self._places[column] = host.name, attribute
        for path in paths:
            names = host.columns if path == "*" else [path]
            columns: list[Any] = [host.columns.get(name) for name in names]
            read = (c for c in columns if c is not column and computation_of(c) is not None)
            self._reads.setdefault(column, []).extend(read)

    def faults(self) -> Iterator[DefinitionFault]:
        """Yield a fault for each self-dependent computation."""
        for column, (record, attribute) in self._places.items():
            circle = self._way_back(column)
            if circle is not None:
                names = " -> ".join(f"{record}.{self._places[step][1]}" for step in circle)
                yield DefinitionFault(
                    f"{record}.{attribute} is computed from itself: {names}, by way of the members of the same row; "
                    "let the members contribute a value that does not depend on it",
                    record=record,
                    property=attribute,
                )

    def _way_back(self, start: Column[Any]) -> list[Column[Any]] | None:
        waiting, seen = [[start]], set[Column[Any]]()
        while waiting:
            path = waiting.pop()
            for read in self._reads.get(path[-1], ()):
                if read is start:
                    return [*path, start]
                if read not in seen:
                    seen.add(read)
                    waiting.append([*path, read])
        return None


def _paths(named: References) -> Iterator[str]:
    """Yield the paths that a computation names."""
    for where in named.conditions:
        for part in parts_of(where):
            if isinstance(part, Mapping):
                yield from (key for key in cast("Iterable[Any]", part) if isinstance(key, str))
            elif isinstance(part, Atom):
                yield part.key
    yield from named.fields
    yield from named.paths()
