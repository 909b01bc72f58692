"""Many changes in one tree, applied from its deepest level up: so a row changes once, not once for each row below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from sqlalchemy import Column

from ..dialects.base import is_exact_key
from .touched import Batch
from .trees import ancestors

if TYPE_CHECKING:
    from .plan import Edge, Host
    from .propagation import Propagation
    from .touched import Key, Row

#: fewer changes are applied at once, whatever their levels
_FEW = 50


class TreeLevels:
    """What is pending in the trees of one propagation."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._levels: dict[Edge, _Levels] = {}

    def take(self, host: Host, batches: dict[Edge, Batch]) -> dict[Edge, Batch]:
        """Return what of ``batches`` is to be applied now; the rest is pending again."""
        edges = [edge for edge in batches if edge.recursive]
        if len(edges) != 1 or not _is_followed(edges[0]):
            return batches
        (edge,) = edges
        batch = batches[edge]
        if edge not in self._levels and len(batch.ids) + len(batch.rows) <= _FEW:
            return batches
        self._propagation.pending[host] = {edge: batch}
        if len(batches) > 1:
            return {other: theirs for other, theirs in batches.items() if other is not edge}
        levels = self._levels.setdefault(edge, _Levels(self._propagation, edge))
        now = levels.take(batch)
        if levels.is_empty:
            del self._levels[edge], self._propagation.pending[host]
        return {edge: now}


def _is_followed(edge: Edge) -> bool:
    by_key = edge.refers_by_primary_key and all(isinstance(column, Column) for column in edge.key)
    return by_key and is_exact_key(tuple(edge.host_key)) and not edge.python and edge.is_additive


class _Levels:
    """What is pending over one edge, by the level of the rows that it goes to."""

    def __init__(self, propagation: Propagation, edge: Edge) -> None:
        self._propagation = propagation
        self._edge = edge
        self._hosts: dict[Key, Key | None] = {}
        self._depths: dict[Key, int] = {}
        self._ids: dict[int, list[Key]] = {}
        self._placed: set[Key] = set()
        self._rows: dict[int, list[Row]] = {}
        self._ordered: list[int] = []

    @property
    def is_empty(self) -> bool:
        return not self._ids and not self._rows

    def take(self, batch: Batch) -> Batch:
        """Take the deepest level out of ``batch``, of which what is known in numbers is kept here."""
        self._place(batch)
        while self._ordered and -self._ordered[0] not in self._ids and -self._ordered[0] not in self._rows:
            heappop(self._ordered)
        depth = -heappop(self._ordered) if self._ordered else 0
        ids = [key for key in self._ids.pop(depth, []) if key in batch.ids]
        rows = self._rows.pop(depth, [])
        now = Batch(ids=dict.fromkeys(ids), rows=rows, keys=set())
        for key in ids:
            del batch.ids[key]
            self._placed.discard(key)
            if key in batch.unlocked:
                now.unlocked[key] = batch.unlocked.pop(key)
            host = self._hosts[key]
            if batch.keys is None:
                now.expect(None)
            elif host is not None:
                now.expect(host)
        for hop, keys in batch.beyond.items():
            now.beyond[hop] = {key: None for key in ids if key in keys}
        return now

    def _place(self, batch: Batch) -> None:
        new = [key for key in batch.ids if key not in self._placed] if len(batch.ids) > len(self._placed) else []
        width = len(self._edge.key)
        self._learn([*new, *(row[:width] for row in batch.rows)])
        for key in new:
            host = self._hosts[key]
            self._add(self._ids, -1 if host is None else self._depths[host], key)
        self._placed.update(new)
        for row in batch.rows:
            self._add(self._rows, self._depths[row[:width]], row)
        batch.rows.clear()

    def _add(self, levels: dict[int, list[Key]], depth: int, item: Key) -> None:
        if depth not in levels:
            levels[depth] = []
            heappush(self._ordered, -depth)
        levels[depth].append(item)

    def _learn(self, keys: Iterable[Key]) -> None:
        unknown = [key for key in dict.fromkeys(keys) if key not in self._depths]
        if not unknown:
            return
        above = ancestors(self._propagation, self._edge, unknown)
        for key in unknown:
            self._find_depth(key, above)

    def _find_depth(self, key: Key, above: Mapping[Key, list[Key]]) -> None:
        way: dict[Key, None] = {}
        step: Key | None = key
        while step is not None and step not in self._depths and step not in way:
            way[step] = None
            hosts = above.get(step)
            host = hosts[0] if hosts else None
            self._hosts[step] = host
            step = host
        depth = self._depths.get(step, -1) if step is not None else -1
        for row in reversed(way):
            depth += 1
            self._depths[row] = depth
