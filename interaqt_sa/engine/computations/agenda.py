"""Apply pending deltas and reactions, level by level, until none are left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import object_mapper

from ..database.database import Database
from ..database.link_rows import find_repeated
from ..database.pending_deltas import PendingDelta
from ..locking.trees import refuse_cycles
from ..plan import Edge, Host, Key
from ..propagation.propagation import Propagation
from ..sql.statement_cache import Statements
from .delta_application import HostDelta, HostUpdates
from .evaluated_values import EvaluatedUpdates
from .host_recounts import recount
from .recursion_levels import RecursionLevels
from .selection_application import SelectionDelta, SelectionUpdates


class Agenda:
    """The work that one write triggers: reactions to events, updates of hosts from the bottom up, recounts."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._hosts = HostUpdates(propagation)
        self._selections = SelectionUpdates(propagation)
        self._evaluated = EvaluatedUpdates(propagation)
        self._levels = RecursionLevels(propagation)
        self._late_edges = _late_edges(propagation.db.statements)

    def run(self) -> None:
        """Run until no work is left."""
        propagation = self._propagation
        while True:
            self._look_at_new_rows()
            self._follow()
            if not propagation.uncounted:
                break
            recount(propagation, *propagation.uncounted.popitem())
        _refresh_kept_by_database(propagation.db)

    def _look_at_new_rows(self) -> None:
        """Refuse cycles in trees, and schedule recounts of hosts whose links existed already."""
        propagation = self._propagation
        for edge, keys in propagation.moved_in_trees.items():
            refuse_cycles(propagation.db, edge, list(keys))
        propagation.moved_in_trees.clear()
        for edge, links in propagation.new_links.items():
            for key in find_repeated(propagation.db, edge, links):
                propagation.recount_over(edge, key)
        propagation.new_links.clear()

    def _follow(self) -> None:
        """Run reactions and apply the pending deltas of hosts, in lock order."""
        pending, mutations = self._propagation.pending, self._propagation.mutations
        while (mutations is not None and mutations.react()) or pending:
            if not pending:
                continue
            if self._late_edges:
                host, deltas = self._next()
            else:
                host = next(iter(pending)) if len(pending) == 1 else min(pending, key=_rank)
                deltas = pending.pop(host)
            self._apply(*self._levels.take(host, deltas))

    def _next(self) -> tuple[Host, dict[Edge, PendingDelta]]:
        """Remove and return the pending deltas that come next.

        Memberships and values that the application evaluates come last, because they depend on all other values of
        their rows, and those that others of them read come before these.
        """
        pending, own = self._propagation.pending, self._late_edges
        later = {host: frozenset[Edge]().union(*own.get(host, ())) for host in pending}
        waiting = {host for host in pending if pending[host].keys() <= later[host]}
        host = min(pending.keys() - waiting or waiting, key=_rank)
        deltas = pending.pop(host)
        now = deltas.keys() - later[host]
        if host in waiting:
            now = next((level & deltas.keys() for level in own.get(host, ()) if level & deltas.keys()), now)
        if rest := {edge: delta for edge, delta in deltas.items() if edge not in now}:
            pending[host] = rest
        return host, {edge: delta for edge, delta in deltas.items() if edge in now}

    def _apply(self, host: Host, deltas: dict[Edge, PendingDelta]) -> None:
        propagation = self._propagation
        propagation.begin_step(host)
        sums: list[HostDelta] = []
        selected: list[SelectionDelta] = []
        by_key: dict[tuple[Column[Any], ...], dict[Edge, PendingDelta]] = {}
        evaluated: dict[Edge, PendingDelta] = {}
        for edge, delta in deltas.items():
            if edge.is_evaluated:
                evaluated[edge] = delta
                continue
            by_key.setdefault(edge.host_key, {})[edge] = delta
        for key, alike in by_key.items():
            additive = {edge: delta for edge, delta in alike.items() if edge.is_additive}
            if additive and (change := self._hosts.prepare(host, key, additive)) is not None:
                sums.append(change)
            for edge, delta in alike.items():
                if not edge.is_additive and (found := self._selections.prepare(edge, delta)) is not None:
                    selected.append(found)
        locked = self._lock_all(host, [*sums, *selected])
        for change in sums:
            self._hosts.apply(change, locked=locked)
            locked = True
        for selection in selected:
            self._selections.apply(selection, locked=locked)
            locked = True
        if evaluated:
            self._evaluated.run(host, evaluated)

    def _lock_all(self, host: Host, changes: Sequence[HostDelta | SelectionDelta]) -> bool:
        """Lock the hosts of several changes in one order; return whether this was done.

        Otherwise each change would lock only the hosts that it updates, in order, and the next one would start again
        from the lowest key.
        """
        if len(changes) < 2 or not self._propagation.db.dialect.has_row_locks:
            return False
        targets: dict[tuple[Column[Any], ...], set[Key]] = {}
        for change in changes:
            targets.setdefault(change.columns, set()).update(change.targets)
        (key, known), *others = targets.items()
        if not others and len(known) == 1 and host.is_known_by(key):
            return False
        self._propagation.reader.lock_targets(host, targets)
        return True


def _rank(host: Host) -> int:
    return host.source.rank


def _late_edges(statements: Statements) -> Mapping[Host, Sequence[AbstractSet[Edge]]]:
    """Return the hosts with values that come last, with the edges of these values, grouped in their order."""

    def find() -> dict[Host, list[set[Edge]]]:
        found: dict[Host, list[set[Edge]]] = {}
        for host in statements.plan.hosts.values():
            late = {edge for edge in host.edges if edge.is_own_row or edge.is_evaluated}
            if late:
                found[host] = list(_levels(late))
        return found

    return statements.cached("late edges", find)


def _levels(edges: AbstractSet[Edge]) -> Iterator[set[Edge]]:
    """Yield edges in groups, each of which reads only values of the groups before it; those of one value together."""
    left = set(edges)
    values = {edge: {part.value for part in edge.parts} for edge in edges}
    alike = {edge: {other for other in edges if values[other] & values[edge]} for edge in edges}
    while left:
        written = {edge: {column for value in values[edge] for column in value.running} for edge in left}
        reads = {edge: {column for one in alike[edge] for column in one.inputs} for edge in left}
        level = {edge for edge in left if all(o in alike[edge] or reads[edge].isdisjoint(written[o]) for o in left)}
        level = level or left
        yield set(level)
        left -= level


def run_agenda(propagation: Propagation) -> None:
    """Apply all pending deltas and reactions, level by level, until nothing changes."""
    Agenda(propagation).run()


def _refresh_kept_by_database(db: Database) -> None:
    """Reload the columns that the database itself has changed in updated rows that the session has loaded."""
    plan = db.statements.plan
    for mapper, keys in db.memory.take_behind():
        source = plan.sources[mapper.local_table]  # type: ignore[index]  # the engine writes to watched tables
        loaded = [instance for key in keys for instance in db.memory.find(mapper, key)]
        columns = list(dict.fromkeys(c for i in loaded for c in plan.kept_by_database(object_mapper(i))))
        statement = db.statements.read_rows(source, columns, mapper)
        rows = db.execute(source, statement, db.dialect.pack("ids", source.key_shape, keys))
        for row in rows:
            fresh = dict(zip(columns, row[len(source.key) :], strict=True))
            for instance in db.memory.find(mapper, tuple(row[: len(source.key)])):
                db.memory.put_columns(instance, fresh)
