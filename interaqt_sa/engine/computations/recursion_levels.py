"""Apply the deltas of rows that depend on each other from the deepest level up, so that each row is updated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Column

from ...dialects.base import is_exact_key
from ..database.pending_deltas import PendingDelta
from ..locking.trees import ancestors

if TYPE_CHECKING:
    from ..database.pending_deltas import Row
    from ..plan import Edge, Host, Key, Source
    from ..propagation.propagation import Propagation

#: fewer deltas than this are applied at once, whatever their levels
_FEW = 50

#: a row of one of the tables on a cycle
_Node: TypeAlias = "tuple[Source, Key]"


class RecursionLevels:
    """The pending deltas of one propagation in trees, and in chains through several tables."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._levels: dict[Edge, _Levels] = {}

    def take(self, host: Host, deltas: dict[Edge, PendingDelta]) -> tuple[Host, dict[Edge, PendingDelta]]:
        """Return the host and the deltas that have to be applied now; the rest stays pending.

        They are a part of ``deltas``, or of the pending deltas of another host on the same cycle.
        """
        pending = self._propagation.pending
        edges = self._propagation.db.statements.recursive_edges.get(host)
        if edges is None:
            return host, deltas
        cyclic = {edge: delta for edge, delta in deltas.items() if edge in edges}
        if not cyclic or not all(map(_is_followed, edges)):
            return host, deltas
        few = all(len(delta.ids) + len(delta.rows) <= _FEW for delta in cyclic.values())
        if edges[0] not in self._levels and few:
            return host, deltas
        pending.setdefault(host, {}).update(cyclic)
        if len(deltas) > len(cyclic):
            return host, {edge: delta for edge, delta in deltas.items() if edge not in cyclic}
        levels = self._levels.setdefault(edges[0], _Levels(self._propagation, edges))
        now = levels.take({edge: delta for edge in edges if (delta := pending.get(edge.host, {}).get(edge))})
        if levels.is_empty:
            del self._levels[edges[0]]
            for edge in edges:
                pending.get(edge.host, {}).pop(edge, None)
            for other in {edge.host for edge in edges}:
                if other in pending and not pending[other]:
                    del pending[other]
        return next((edge.host for edge in now), host), now


def _is_followed(edge: Edge) -> bool:
    by_key = edge.refers_by_primary_key and all(isinstance(column, Column) for column in edge.key)
    return by_key and is_exact_key(edge.host_key)


class _Waiting:
    """The pending deltas of one edge, by the level of their hosts."""

    def __init__(self) -> None:
        self.ids: dict[int, list[Key]] = {}
        self.placed: set[Key] = set()
        self.rows: dict[int, list[Row]] = {}


class _Levels:
    """The pending deltas of the edges of a cycle, by level.

    The level of a row is the length of the longest path up to a row without a host. A row may have a host over each
    edge, so a level is complete when all deeper ones are.
    """

    def __init__(self, propagation: Propagation, edges: Sequence[Edge]) -> None:
        self._propagation = propagation
        self._waiting = {edge: _Waiting() for edge in edges}
        self._above: dict[_Node, dict[Edge, _Node]] = {}
        self._depths: dict[_Node, int] = {}
        self._ordered: list[int] = []

    @property
    def is_empty(self) -> bool:
        return not any(waiting.ids or waiting.rows for waiting in self._waiting.values())

    def take(self, deltas: Mapping[Edge, PendingDelta]) -> dict[Edge, PendingDelta]:
        """Remove the deepest level of one host from ``deltas`` and return it.

        Deltas with known numbers are stored here.
        """
        self._learn(deltas)
        for edge, delta in deltas.items():
            self._place(edge, delta)
        while self._ordered and not self._holds(-self._ordered[0]):
            heappop(self._ordered)
        depth = -self._ordered[0] if self._ordered else 0
        holding = [edge for edge in deltas if self._has(edge, depth)]
        first = min((edge.host.rank for edge in holding), default=0)
        taken: dict[Edge, PendingDelta] = {}
        for edge in holding:
            if edge.host.rank == first:
                now = self._taken(edge, deltas[edge], depth)
                if now.ids or now.rows:
                    taken[edge] = now
        return taken

    def _holds(self, depth: int) -> bool:
        return any(self._has(edge, depth) for edge in self._waiting)

    def _has(self, edge: Edge, depth: int) -> bool:
        waiting = self._waiting[edge]
        return depth in waiting.ids or depth in waiting.rows

    def _taken(self, edge: Edge, delta: PendingDelta, depth: int) -> PendingDelta:
        waiting = self._waiting[edge]
        ids = [key for key in waiting.ids.pop(depth, []) if key in delta.ids]
        now = PendingDelta(ids=dict.fromkeys(ids), rows=waiting.rows.pop(depth, []), keys=set())
        for key in ids:
            del delta.ids[key]
            waiting.placed.discard(key)
            if key in delta.unlocked:
                now.unlocked[key] = delta.unlocked.pop(key)
            host = self._above.get((edge.member, key), {}).get(edge)
            if delta.keys is None:
                now.expect(None)
            elif host is not None:
                now.expect(host[1])
        for hop, keys in delta.beyond.items():
            now.beyond[hop] = {key: None for key in ids if key in keys}
        return now

    def _place(self, edge: Edge, delta: PendingDelta) -> None:
        waiting, width = self._waiting[edge], len(edge.key)
        for key in self._new(edge, delta):
            host = self._above.get((edge.member, key), {}).get(edge)
            self._add(waiting.ids, -1 if host is None else self._depths[host], key)
            waiting.placed.add(key)
        for row in delta.rows:
            self._add(waiting.rows, self._depths[edge.host.source, row[:width]], row)
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
        nodes: dict[_Node, None] = {}
        for edge, delta in deltas.items():
            nodes |= dict.fromkeys((edge.member, key) for key in self._new(edge, delta))
            nodes |= dict.fromkeys((edge.host.source, row[: len(edge.key)]) for row in delta.rows)
        reached = {node: None for node in nodes if node not in self._depths}
        waiting: dict[Edge, dict[Key, None]] = {edge: {} for edge in self._waiting}
        asked: dict[Edge, set[Key]] = {edge: set() for edge in self._waiting}

        def reach(node: _Node) -> None:
            reached[node] = None
            for edge, keys in waiting.items():
                if edge.member is node[0] and node[1] not in asked[edge]:
                    keys[node[1]] = None

        for node in list(reached):
            reach(node)
        while any(waiting.values()):
            for edge, keys in waiting.items():
                missing, is_tree = list(keys), edge.member is edge.host.source
                keys.clear()
                asked[edge].update(missing)
                found = ancestors(self._propagation.db, edge, missing) if missing else {}
                if is_tree:  # the search has continued to the top of the tree
                    asked[edge].update(row for row in found)
                    asked[edge].update(host for hosts in found.values() for host in hosts)
                for row, hosts in found.items():
                    host = (edge.host.source, hosts[0])
                    self._above.setdefault((edge.member, row), {})[edge] = host
                    for node in ((edge.member, row), host):
                        if node not in reached:
                            reach(node)
        for node in reached:
            self._find_depth(node)

    def _find_depth(self, node: _Node) -> None:
        """Set the level of a row after those of the rows above it; not recursive, and arbitrary on a cycle."""
        waiting = [node]
        entered: set[_Node] = set()
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
