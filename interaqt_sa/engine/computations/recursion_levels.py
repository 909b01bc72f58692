"""Apply the deltas of a tree from its deepest level up, so that each row is updated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column

from ...dialects.base import is_exact_key
from ..database.pending_deltas import PendingDelta
from ..locking.trees import ancestors

if TYPE_CHECKING:
    from ..database.pending_deltas import Row
    from ..plan import Edge, Host, Key
    from ..propagation.propagation import Propagation

#: fewer deltas than this are applied at once, whatever their levels
_FEW = 50


class TreeLevels:
    """The pending deltas in the trees of one propagation."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._levels: dict[Host, _Levels] = {}

    def take(self, host: Host, deltas: dict[Edge, PendingDelta]) -> dict[Edge, PendingDelta]:
        """Return the part of ``deltas`` that has to be applied now; the rest stays pending."""
        trees = {edge: delta for edge, delta in deltas.items() if edge.recursive}
        edges = [edge for edge in host.edges if edge.recursive]
        if not trees or not all(map(_is_followed, edges)):
            return deltas
        few = all(len(delta.ids) + len(delta.rows) <= _FEW for delta in trees.values())
        if host not in self._levels and few:
            return deltas
        self._propagation.pending[host] = trees
        if len(deltas) > len(trees):
            return {edge: delta for edge, delta in deltas.items() if edge not in trees}
        levels = self._levels.setdefault(host, _Levels(self._propagation, edges))
        now = levels.take(trees)
        if levels.is_empty:
            del self._levels[host], self._propagation.pending[host]
        return now


def _is_followed(edge: Edge) -> bool:
    by_key = edge.refers_by_primary_key and all(isinstance(column, Column) for column in edge.key)
    return by_key and is_exact_key(tuple(edge.host_key))


class _Waiting:
    """The pending deltas of one edge, by the level of their hosts."""

    def __init__(self) -> None:
        self.ids: dict[int, list[Key]] = {}
        self.placed: set[Key] = set()
        self.rows: dict[int, list[Row]] = {}


class _Levels:
    """The pending deltas of the recursive edges of one host table, by level.

    The level of a row is the length of the longest path up to a row without a host. A row may have a host over each
    edge, so a level is complete when all deeper ones are.
    """

    def __init__(self, propagation: Propagation, edges: Sequence[Edge]) -> None:
        self._propagation = propagation
        self._waiting = {edge: _Waiting() for edge in edges}
        self._above: dict[Key, dict[Edge, Key]] = {}
        self._depths: dict[Key, int] = {}
        self._ordered: list[int] = []

    @property
    def is_empty(self) -> bool:
        return not any(waiting.ids or waiting.rows for waiting in self._waiting.values())

    def take(self, deltas: Mapping[Edge, PendingDelta]) -> dict[Edge, PendingDelta]:
        """Remove the deepest level from ``deltas`` and return it; deltas with known numbers are stored here."""
        self._learn(deltas)
        for edge, delta in deltas.items():
            self._place(edge, delta)
        while self._ordered and not self._holds(-self._ordered[0]):
            heappop(self._ordered)
        depth = -heappop(self._ordered) if self._ordered else 0
        taken: dict[Edge, PendingDelta] = {}
        for edge, delta in deltas.items():
            now = self._taken(edge, delta, depth)
            if now.ids or now.rows:
                taken[edge] = now
        return taken

    def _holds(self, depth: int) -> bool:
        return any(depth in waiting.ids or depth in waiting.rows for waiting in self._waiting.values())

    def _taken(self, edge: Edge, delta: PendingDelta, depth: int) -> PendingDelta:
        waiting = self._waiting[edge]
        ids = [key for key in waiting.ids.pop(depth, []) if key in delta.ids]
        now = PendingDelta(ids=dict.fromkeys(ids), rows=waiting.rows.pop(depth, []), keys=set())
        for key in ids:
            del delta.ids[key]
            waiting.placed.discard(key)
            if key in delta.unlocked:
                now.unlocked[key] = delta.unlocked.pop(key)
            host = self._above.get(key, {}).get(edge)
            if delta.keys is None:
                now.expect(None)
            elif host is not None:
                now.expect(host)
        for hop, keys in delta.beyond.items():
            now.beyond[hop] = {key: None for key in ids if key in keys}
        return now

    def _place(self, edge: Edge, delta: PendingDelta) -> None:
        waiting, width = self._waiting[edge], len(edge.key)
        for key in self._new(edge, delta):
            host = self._above.get(key, {}).get(edge)
            self._add(waiting.ids, -1 if host is None else self._depths[host], key)
            waiting.placed.add(key)
        for row in delta.rows:
            self._add(waiting.rows, self._depths[row[:width]], row)
        delta.rows.clear()

    def _new(self, edge: Edge, delta: PendingDelta) -> list[Key]:
        placed = self._waiting[edge].placed
        return [key for key in delta.ids if key not in placed] if len(delta.ids) > len(placed) else []

    def _add(self, levels: dict[int, list[Any]], depth: int, item: Any) -> None:
        if depth not in levels:
            levels[depth] = []
            heappush(self._ordered, -depth)
        levels[depth].append(item)

    def _learn(self, deltas: Mapping[Edge, PendingDelta]) -> None:
        """Find the rows above the pending ones, over all edges, and their levels."""
        keys: dict[Key, None] = {}
        for edge, delta in deltas.items():
            keys |= dict.fromkeys(self._new(edge, delta))
            keys |= dict.fromkeys(row[: len(edge.key)] for row in delta.rows)
        unknown = [key for key in keys if key not in self._depths]
        asked: dict[Edge, set[Key]] = {edge: set() for edge in self._waiting}
        reached = dict.fromkeys(unknown)
        while any(len(seen) < len(reached) for seen in asked.values()):
            for edge, seen in asked.items():
                missing = [key for key in reached if key not in seen]
                found = ancestors(self._propagation.db, edge, missing) if missing else {}
                seen.update(missing)
                for row, hosts in found.items():
                    seen.update((row, *hosts))
                    reached |= dict.fromkeys((row, *hosts[:1]))
                    self._above.setdefault(row, {})[edge] = hosts[0]
        for key in reached:
            self._find_depth(key)

    def _find_depth(self, key: Key) -> None:
        """Set the level of a row after those of the rows above it; not recursive, and arbitrary on a cycle."""
        waiting = [key]
        entered: set[Key] = set()
        while waiting:
            row = waiting[-1]
            above = list(self._above.get(row, {}).values())
            if row not in entered and row not in self._depths:
                entered.add(row)
                waiting += [host for host in above if host not in self._depths and host not in entered]
                continue
            waiting.pop()
            if row not in self._depths:
                self._depths[row] = 1 + max((self._depths.get(host, -1) for host in above), default=-1)
