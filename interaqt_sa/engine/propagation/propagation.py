"""The pending deltas of one write: the new contributions of its rows minus the old ones."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import Session

from ...dialects.running_sum_type import negate_exactly
from ...errors import SchedulerError
from ..database.database import Database
from ..database.host_key_locks import lock_hosts
from ..database.loaded_objects import Memory
from ..database.pending_deltas import PendingDelta, Row, Touched
from ..database.reader import Reader
from ..locking.lock_pass import LockPass
from ..locking.trees import lock_structure
from ..plan import Edge, Hop, Host, Key, Source
from ..sql.statement_cache import Statements
from .listener_protocol import Listener

#: after this many steps the changes of each row are counted; even in a long chain a row changes only once or twice
_UNCOUNTED_STEPS = 1000
#: a row that changes more often after that is on a cycle of rows
_MAX_CHANGES = 1000


class Propagation:
    """The pending deltas of one write, and of the writes that the engine makes because of it.

    :ivar db: runs the statements.
    :ivar locked_ahead: edges whose new neighbours were locked before the write.
    :ivar mutations: the event log that receives the changes of rows; ``None``, as in a repair, if there is none.
    """

    mutations: Listener | None = None

    def __init__(
        self, session: Session, statements: Statements, memory: Memory, options: Mapping[str, Any] | None = None
    ) -> None:
        self.db = Database(session, statements, memory, options)
        self.reader = Reader(self.db)
        self.pending: dict[Host, dict[Edge, PendingDelta]] = {}
        self._steps = 0
        self._last_steps: deque[Host] = deque(maxlen=8)
        self._changes: dict[tuple[Host, Key], int] = defaultdict(int)
        self.moved_in_trees: dict[Edge, dict[Key, None]] = {}
        self.new_links: dict[Edge, Counter[Key]] = {}
        self.uncounted: dict[Source, dict[Key, None]] = {}
        self.locked_ahead: set[Edge] = set()

    def delta(self, edge: Edge) -> PendingDelta:
        return self.pending.setdefault(edge.host, {}).setdefault(edge, PendingDelta())

    # -- before a write ----------------------------------------------------------------------------------------

    def before(self, touched: Mapping[Source, Touched], locks: LockPass | None = None) -> None:
        """Lock rows that are about to be written, and read their contributions and those of the rows that read them.

        :param touched: the rows by source, with the lock that each needs.
        :param locks: the lock pass of the write, if it includes more than ``touched``.
        """
        for source, rows in touched.items():
            for edge in source.edges if rows.columns is not None else ():  # a delete cannot create a cycle
                if edge.recursive and rows.reaches({c for c in edge.key if isinstance(c, Column)}):
                    lock_structure(self.db, edge)
                    self.moved_in_trees.setdefault(edge, {}).update(dict.fromkeys(rows.keys))
        locks = locks or LockPass(self.reader, touched)
        locks.run(self.subtract_locked)
        for source in sorted(touched, key=lambda s: s.rank):
            rows = touched[source]
            for edge in source.edges:
                if rows.reaches(edge.inputs):
                    ahead = edge in self.db.statements.locked_ahead
                    self.read_old(edge, rows.keys, () if ahead else edge.hops)
            for edge, hop in source.readers:
                if rows.reaches(hop.inputs):
                    # the rows beyond the changed ones and the hosts of their readers were locked by the pass
                    self.read_readers(edge, hop, rows.keys, (), rows.columns, locks.readers(edge, hop, rows.keys))

    def subtract_locked(self, edge: Edge, touched: Touched, found: Sequence[Any], place: int) -> int:
        """Subtract the contributions of touched rows over an edge; return the position after its columns in ``found``.

        :param found: locked rows, keys first; from ``place`` on the host's key and the contribution.
        """
        delta, width = self.delta(edge), len(edge.member.key)
        end = place + len(edge.key) + len(edge.vector)
        for row in found:
            key = tuple(row[:width])
            if key in touched.keys and key not in delta.ids:
                self._subtract(edge, delta, tuple(row[place:end]))
        delta.ids.update(dict.fromkeys(touched.keys))
        return end

    @staticmethod
    def _subtract(edge: Edge, delta: PendingDelta, row: Row) -> None:
        width = len(edge.key)
        key = row[:width]
        if None not in key:
            # values that are selected, not summed, are stored as they are: there is nothing to subtract
            delta.rows.append((*key, *map(negate_exactly, row[width:])) if edge.is_additive else row)

    def read_old(self, edge: Edge, keys: Iterable[Key], unlocked: Sequence[Hop]) -> None:
        """Subtract the contributions of rows over an edge.

        :param unlocked: hops of its paths whose rows are not locked yet.
        """
        delta = self.delta(edge)
        ids = [key for key in keys if key not in delta.ids]
        if not ids:
            return
        self.reader.lock_neighbours(edge, ids, unlocked)
        for row in self.reader.contributions(edge, ids):
            self._subtract(edge, delta, row)
        delta.ids.update(dict.fromkeys(ids))

    def read_readers(
        self,
        edge: Edge,
        hop: Hop,
        keys: Iterable[Key],
        unlocked: Sequence[Hop],
        columns: AbstractSet[Column[Any]] | None = frozenset(),
        found: Sequence[Key] | None = None,
    ) -> None:
        """Subtract the contributions of the rows that read changed rows along ``hop``.

        Neighbours of these rows on other paths need no lock: a transaction that changes one of them locks the same
        hosts as this one. Rows between a reader and the changed row need none either: a transaction that changes one of
        them locks the rows beyond it, the changed row included, before it reads its own old contributions.

        :param columns: the changed columns; a hop that starts at one of them may lead to another row after the write.
        :param found: the keys of the readers, if they are known.
        """
        if found is None:
            keys = list(keys)
            found = self.reader.find_readers(edge, hop, keys)[0] if keys else []
        self.read_old(edge, found, unlocked)
        if found and columns:
            delta, names = self.delta(edge), {column.key for column in columns}
            for further in edge.hops:
                if further.parent is hop and any(getattr(c, "key", None) in names for c in further.local):
                    for step in (further, *edge.beyond(further)):
                        delta.beyond.setdefault(step, {}).update(dict.fromkeys(found))

    # -- after a write -----------------------------------------------------------------------------------------

    def contributes(self, source: Source, key: Key, host_key: Mapping[Edge, Key | None], fresh: bool) -> None:
        """Record that a row was written, so that its new contributions will be read.

        :param host_key: for each edge the key of the host that the row contributes to, as far as it is known in memory.
        :param fresh: whether the row is new; an existing row must have been passed to :meth:`before`.
        """
        for edge in source.edges:
            delta = self.delta(edge) if fresh else self.pending.get(edge.host, {}).get(edge)
            if delta is None or (not fresh and key not in delta.ids):
                continue
            if source.may_repeat and key not in delta.ids:
                self.new_links.setdefault(edge, Counter())[key] += 1
            delta.ids[key] = None
            if edge.hops and edge not in self.locked_ahead:
                delta.unlocked[key] = None
            if edge.host.constant is not None:
                delta.expect(edge.host.constant)
            elif fresh or edge in host_key:
                delta.expect(host_key.get(edge))

    def rekeyed(self, source: Source, old: Key, new: Key) -> None:
        """Record that a row has another key, so that its new contribution is read under ``new``."""
        for deltas in self.pending.values():
            for edge, delta in deltas.items():
                if edge.member is source and old in delta.ids:
                    delta.ids[new] = None
                    if old in delta.unlocked:
                        delta.unlocked[new] = None

    def rename_hosts(self, source: Source, columns: Sequence[Column[Any]], renamed: Iterable[tuple[Key, Key]]) -> None:
        """Address the deltas of hosts in ``source`` by the keys that the hosts have after the write.

        :param renamed: for each host the values of ``columns`` before and after the write.
        """
        pairs = list(renamed)
        for host, deltas in self.pending.items():
            for edge, delta in deltas.items() if pairs and host.source is source else ():
                places = [columns.index(column) for column in edge.host_key]
                names = {tuple(old[i] for i in places): tuple(new[i] for i in places) for old, new in pairs}
                width = len(places)
                delta.rows = [(*names.get(row[:width], row[:width]), *row[width:]) for row in delta.rows]

    def moved(self, source: Source, keys: Iterable[Key], columns: AbstractSet[Column[Any]] | None = None) -> None:
        """Record that rows were updated by a statement, so that only the database has the keys of their hosts.

        :param columns: the written columns, if known: rows whose key of the host was not written keep their host.
        """
        written = set(keys)
        for deltas in self.pending.values():
            for edge, delta in deltas.items():
                if edge.member is not source or delta.ids.keys().isdisjoint(written):
                    continue
                if columns is None or not columns.isdisjoint(c for c in edge.key if isinstance(c, Column)):
                    delta.expect(edge.host.constant)
                steps = (c for hop in edge.hops if hop.parent is None for c in hop.local if isinstance(c, Column))
                if edge.hops and (columns is None or not columns.isdisjoint(steps)):
                    delta.unlocked.update(dict.fromkeys(written & delta.ids.keys()))

    def new_rows(self, edge: Edge, keys: Iterable[Key], hosts: Iterable[Key] | None) -> None:
        """Record that rows were inserted that contribute over ``edge`` to ``hosts``; ``None`` if they are unknown."""
        delta, listed = self.delta(edge), list(keys)
        fresh = dict.fromkeys(listed)
        if edge.member.may_repeat:
            self.new_links.setdefault(edge, Counter()).update(key for key in listed if key not in delta.ids)
        delta.ids.update(fresh)
        if edge.hops:
            delta.unlocked.update(fresh)
        if edge.host.constant is not None:
            delta.expect(edge.host.constant)
        elif hosts is None:
            delta.expect(None)
        else:
            for host in hosts:
                delta.expect(host)

    def new_hosts(self, source: Source, rows: Mapping[Key, Mapping[Column[Any], Any]]) -> None:
        """Record that hosts were inserted whose members, if they have no foreign key, may exist already.

        They are recounted at the end, because a delta of their members would also be added to other hosts with the same
        key.
        """
        for edge, hop in source.readers:
            if hop.is_deferred:  # rows that refer to the host were inserted, and read, before it
                for key in self.reader.readers_of(edge, hop, list(rows))[1]:  # of this transaction, and so visible
                    self.count_later(edge, key)
        for host in {e.host for e in self.db.statements.edges_without_foreign_key if e.host.source is source}:
            for edge in [e for e in host.edges if not e.has_foreign_key]:
                lock_hosts(self.db, edge, [tuple(row.get(c) for c in edge.host_key) for row in rows.values()])
        if source.host is not None:
            self.uncounted.setdefault(source, {}).update(dict.fromkeys(rows))

    def has_loose_members(self, source: Source) -> bool:
        """Whether members of hosts in ``source``, or rows that read rows of it, can be inserted before them."""
        return self.db.statements.cached(
            ("members without foreign key", source),
            lambda: (
                any(edge.host.source is source for edge in self.db.statements.edges_without_foreign_key)
                or any(hop.is_deferred for _, hop in source.readers)
            ),
        )

    def recount_over(self, edge: Edge, link: Key) -> None:
        """Schedule a recount of the host of an existing link whose old contribution was not read."""
        delta = self.delta(edge)
        delta.ids.pop(link, None)
        delta.unlocked.pop(link, None)
        places = {column: i for i, column in enumerate(edge.member.key)}
        host = tuple(link[places[column]] for column in edge.key if isinstance(column, Column))
        if None not in host:
            self.count_later(edge, host)

    def count_later(self, edge: Edge, host: Key) -> None:
        """Schedule a recount of a host at the end of the propagation.

        :param host: the values of the columns by which members refer to it.
        """
        keys = [host] if edge.refers_by_primary_key else self.reader.lock_targets(edge.host, {edge.host_key: {host}})
        self.uncounted.setdefault(edge.host.source, {}).update(dict.fromkeys(keys))

    def count_again(self, source: Source, keys: Iterable[Key]) -> None:
        """Schedule a recount of hosts in ``source`` at the end of the propagation."""
        self.uncounted.setdefault(source, {}).update(dict.fromkeys(keys))

    def begin_step(self, host: Host) -> None:
        """Record that the pending deltas of ``host`` are applied next."""
        self._steps += 1
        self._last_steps.append(host)

    def changed(self, host: Host, keys: Iterable[Key]) -> None:
        """Record that rows of ``host`` have changed in this step.

        :raises SchedulerError: if one of them has changed too often.
        """
        if self._steps <= _UNCOUNTED_STEPS:
            return
        for key in keys:
            self._changes[host, key] += 1
            if self._changes[host, key] > _MAX_CHANGES:
                path = [h.table.name for h in self._last_steps]
                shown = key[0] if len(key) == 1 else key
                raise SchedulerError(
                    f"computed values keep changing each other, those of {host.table.name} {shown!r} for the "
                    f"{_MAX_CHANGES}th time: … {' -> '.join(path)}; break the cycle of computations or of rows",
                    path=path,
                )
