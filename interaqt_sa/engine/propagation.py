"""One round of keeping values true: old contributions, a write, new contributions, and so on upwards."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import Column, Connection, Executable
from sqlalchemy.orm import Session, object_mapper

from ..dialects.base import is_exact_key
from ..dialects.execution_options import ENGINE_OPTIONS
from ..errors import SchedulerError
from . import execution
from .computations.numbers import negate_exactly
from .connection import connection_of, require_latest_rows
from .host_statements import HostStatements
from .hosts import HostUpdates
from .links import find_repeated
from .listener import Listener
from .locks import LockPass
from .loose import lock_hosts, lock_members
from .memory import Memory
from .plan import Edge, Hop, Host, Source
from .python_parts import evaluate_members
from .selection_updates import SelectionUpdates
from .statements import Statements
from .touched import Batch, Key, Row, Touched
from .tree_levels import TreeLevels
from .trees import lock_structure, refuse_cycles

#: after so many steps it is counted how often each row changes: a long chain of rows changes each of them once or twice
_UNCOUNTED_STEPS = 1000
#: a row that changes this often then stands on a cycle of rows
_MAX_CHANGES = 1000


class Propagation:
    """What one write sets off, up to the point where nothing changes any more.

    :ivar settled: edges whose new neighbours were locked before the write.
    :ivar mutations: who hears of the writes; ``None``: nobody, as in a repair.
    """

    mutations: Listener | None = None

    def __init__(
        self, session: Session, statements: Statements, memory: Memory, options: Mapping[str, Any] | None = None
    ) -> None:
        self.session = session
        #: execution options of every statement: those of the application's own statement, if it is one
        self.options: Mapping[str, Any] = {**(options or {}), **ENGINE_OPTIONS}
        self.statements = statements
        self.dialect = statements.dialect
        self.memory = memory
        self.pending: dict[Host, dict[Edge, Batch]] = {}
        self._steps = 0
        self._last_steps: deque[Host] = deque(maxlen=8)
        self._changes: dict[tuple[Host, Key], int] = defaultdict(int)
        # one write stays on one connection; the session looks for it anew each time it is asked
        self._connections: dict[Source, Connection] = {}
        self._observed: dict[Connection, bool] = {}
        self._moved_in_trees: dict[Edge, dict[Key, None]] = {}
        self._new_links: dict[Edge, Counter[Key]] = {}
        self._uncounted: dict[Source, dict[Key, None]] = {}
        self.settled: set[Edge] = set()
        self._hosts = HostUpdates(self)
        self._selections = SelectionUpdates(self)
        self._levels = TreeLevels(self)

    def execute(self, source: Source, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
        """Run one of the engine's statements."""
        connection = self.connection(source)
        kept = None if self.is_observed(connection) else self.statements.text_of(statement, connection.dialect)
        if kept is None:
            return execution.run_statement(connection, statement, parameters, self.options)
        return execution.run_kept(connection, kept, parameters)

    def is_observed(self, connection: Connection) -> bool:
        """Whether somebody listens to the statements of ``connection``."""
        found = self._observed.get(connection)
        if found is None:
            found = self._observed[connection] = execution.is_observed(connection, self.options)
        return found

    def connection(self, source: Source) -> Connection:
        found = self._connections.get(source)
        if found is None:
            found = self._connections[source] = connection_of(self.session, source)
            self.dialect.prepare(found)
        return found

    def require_latest_rows(self, source: Source, why: str) -> None:
        """Refuse to look for rows where some may not be seen; see :func:`.require_latest_rows`."""
        require_latest_rows(self.connection(source), why, all_serializable=self.statements.all_serializable)

    def batch(self, edge: Edge) -> Batch:
        return self.pending.setdefault(edge.host, {}).setdefault(edge, Batch())

    # -- before a write ----------------------------------------------------------------------------------------

    def before(self, touched: Mapping[Source, Touched], locks: LockPass | None = None) -> None:
        """Lock rows that are about to be written, and read what they, and the rows that read them, contribute.

        :param locks: the locks of the write, if more is known than ``touched`` says.
        """
        for source, rows in touched.items():
            for edge in source.edges if rows.columns is not None else ():  # a delete makes no cycle
                if edge.recursive and rows.reaches({c for c in edge.key if isinstance(c, Column)}):
                    lock_structure(self, edge)
                    self._moved_in_trees.setdefault(edge, {}).update(dict.fromkeys(rows.keys))
        locks = locks or LockPass(self, touched)
        locks.run()
        for source in sorted(touched, key=lambda s: s.rank):
            rows = touched[source]
            for edge in source.edges:
                if rows.reaches(edge.inputs):
                    ahead = edge in self.statements.locked_ahead
                    self.read_old(edge, rows.keys, () if ahead else edge.hops)
            for edge, hop in source.readers:
                if rows.reaches(hop.inputs):
                    # what lies beyond the changed rows was locked with them, and the hosts of their readers too
                    self.read_readers(edge, hop, rows.keys, (), rows.columns, locks.readers(edge, hop, rows.keys))

    def subtract_locked(self, edge: Edge, touched: Touched, found: Sequence[Any], place: int) -> int:
        """Subtract what touched rows contribute over an edge; return where the next columns of ``found`` begin.

        :param found: locked rows, keys first; at ``place`` the host's key and the contribution.
        """
        batch, width = self.batch(edge), len(edge.driver.key)
        end = place + len(edge.key) + len(edge.vector)
        for row in found:
            key = tuple(row[:width])
            if key in touched.keys and key not in batch.ids:
                self._subtract(edge, batch, tuple(row[place:end]))
        batch.ids.update(dict.fromkeys(touched.keys))
        return end

    @staticmethod
    def _subtract(edge: Edge, batch: Batch, row: Row) -> None:
        width = len(edge.key)
        key = row[:width]
        if None not in key:
            # what is compared is kept as it is: there is nothing to subtract
            batch.rows.append((*key, *map(negate_exactly, row[width:])) if edge.is_additive else row)

    def read_old(self, edge: Edge, keys: Iterable[Key], unlocked: Sequence[Hop]) -> None:
        """Subtract what rows contribute over an edge.

        :param unlocked: steps of its paths whose rows nobody has locked yet.
        """
        batch = self.batch(edge)
        ids = [key for key in keys if key not in batch.ids]
        if not ids:
            return
        self.lock_neighbours(edge, ids, unlocked)
        for row in self.contributions(edge, ids):
            self._subtract(edge, batch, row)
        batch.ids.update(dict.fromkeys(ids))

    def contributions(self, edge: Edge, ids: Sequence[Key]) -> list[Row]:
        """Return what rows contribute over an edge, the hosts' keys first."""
        lock_members(self, edge, None)
        parameters = self.dialect.pack("ids", edge.driver.key_shape, ids)
        if edge.python:
            rows = self.execute(edge.driver, self.statements.read_members(edge), parameters)
            return evaluate_members(edge, rows)
        return [tuple(r) for r in self.execute(edge.driver, self.statements.read_contributions(edge), parameters)]

    def find_readers(self, edge: Edge, hop: Hop, keys: Sequence[Key]) -> tuple[list[Key], set[Key]]:
        """Return the driver rows that read rows ``keys`` along ``hop``, and the keys of their hosts."""
        self.require_latest_rows(edge.driver, f"{edge.name}: a change of {hop.source.table.name!r} reaches its readers")
        return self._readers(edge, hop, keys)

    def _readers(self, edge: Edge, hop: Hop, keys: Sequence[Key]) -> tuple[list[Key], set[Key]]:
        parameters = self.dialect.pack("ids", hop.source.key_shape, keys)
        found = [tuple(r) for r in self.execute(edge.driver, self.statements.find_readers(edge, hop), parameters)]
        width = len(edge.driver.key)
        constant = edge.host.constant
        hosts = {row[width:] if constant is None else constant for row in found}
        return [row[:width] for row in found], {host for host in hosts if None not in host}

    def read_readers(
        self,
        edge: Edge,
        hop: Hop,
        keys: Iterable[Key],
        unlocked: Sequence[Hop],
        columns: AbstractSet[Column[Any]] | None = frozenset(),
        found: Sequence[Key] | None = None,
    ) -> None:
        """Subtract the contributions that read changed rows along ``hop``.

        Rows beside them, on other paths, need no lock: who changes those holds the same hosts, as we do. Rows on the
        way from a reader to the changed row need none either: whoever changes those locks what lies beyond them, the
        changed row too, before it reads its own old contributions.

        :param columns: what changed; a step that leads on from there may lead to another row after the write.
        :param found: who reads them, if that is known.
        """
        if found is None:
            keys = list(keys)
            found = self.find_readers(edge, hop, keys)[0] if keys else []
        self.read_old(edge, found, unlocked)
        if found and columns:
            batch, names = self.batch(edge), {column.key for column in columns}
            for further in edge.hops:
                if further.parent is hop and any(getattr(c, "key", None) in names for c in further.local):
                    for step in (further, *edge.beyond(further)):
                        batch.beyond.setdefault(step, {}).update(dict.fromkeys(found))

    def lock_neighbours(self, edge: Edge, ids: Sequence[Key], hops: Iterable[Hop]) -> None:
        """Keep rows still that contributions read along paths."""
        if not self.dialect.has_row_locks:
            return
        parameters = self.dialect.pack("ids", edge.driver.key_shape, ids)
        for hop in hops:
            if not hop.same_row:
                statement = self.statements.lock_neighbours(edge, hop, edge.neighbour_lock(hop))
                self.execute(hop.source, statement, parameters)

    # -- after a write -----------------------------------------------------------------------------------------

    def contributes(self, source: Source, key: Key, host_key: Mapping[Edge, Key | None], fresh: bool) -> None:
        """Note that a row was written: its new contributions will be read.

        :param host_key: for each edge where its contribution will go, as far as memory knows.
        :param fresh: whether the row is new; a row that is not must have gone through :meth:`before`.
        """
        for edge in source.edges:
            batch = self.batch(edge) if fresh else self.pending.get(edge.host, {}).get(edge)
            if batch is None or (not fresh and key not in batch.ids):
                continue
            if source.may_repeat and key not in batch.ids:
                self._new_links.setdefault(edge, Counter())[key] += 1
            batch.ids[key] = None
            if edge.hops and edge not in self.settled:
                batch.unlocked[key] = None
            if edge.host.constant is not None:
                batch.expect(edge.host.constant)
            elif fresh or edge in host_key:
                batch.expect(host_key.get(edge))

    def rekeyed(self, source: Source, old: Key, new: Key) -> None:
        """Note that a row has another key: what it has contributed under ``old`` is compared with what it does now."""
        for batches in self.pending.values():
            for edge, batch in batches.items():
                if edge.driver is source and old in batch.ids:
                    batch.ids[new] = None
                    if old in batch.unlocked:
                        batch.unlocked[new] = None

    def rename_hosts(self, source: Source, columns: Sequence[Column[Any]], renamed: Iterable[tuple[Key, Key]]) -> None:
        """Let what was subtracted from hosts in ``source`` go to them by the keys that they have now.

        :param renamed: values of ``columns`` before and after the write, for each host.
        """
        pairs = list(renamed)
        for host, batches in self.pending.items():
            for edge, batch in batches.items() if pairs and host.source is source else ():
                places = [columns.index(column) for column in edge.host_key]
                names = {tuple(old[i] for i in places): tuple(new[i] for i in places) for old, new in pairs}
                width = len(places)
                batch.rows = [(*names.get(row[:width], row[:width]), *row[width:]) for row in batch.rows]

    def moved(self, source: Source, keys: Iterable[Key], columns: AbstractSet[Column[Any]] | None = None) -> None:
        """Note that rows were updated by a statement, so that only the database knows where they contribute now.

        :param columns: what was written, if that is known: rows whose key to a host was not stay where they were.
        """
        written = set(keys)
        for batches in self.pending.values():
            for edge, batch in batches.items():
                if edge.driver is not source or batch.ids.keys().isdisjoint(written):
                    continue
                if columns is None or not columns.isdisjoint(c for c in edge.key if isinstance(c, Column)):
                    batch.expect(edge.host.constant)
                steps = (c for hop in edge.hops if hop.parent is None for c in hop.local if isinstance(c, Column))
                if edge.hops and (columns is None or not columns.isdisjoint(steps)):
                    batch.unlocked.update(dict.fromkeys(written & batch.ids.keys()))

    def new_rows(self, edge: Edge, keys: Iterable[Key], hosts: Iterable[Key] | None) -> None:
        """Note that many rows were inserted that contribute over ``edge`` to ``hosts``; ``None``: not known."""
        batch, listed = self.batch(edge), list(keys)
        fresh = dict.fromkeys(listed)
        if edge.driver.may_repeat:
            self._new_links.setdefault(edge, Counter()).update(key for key in listed if key not in batch.ids)
        batch.ids.update(fresh)
        if edge.hops:
            batch.unlocked.update(fresh)
        if edge.host.constant is not None:
            batch.expect(edge.host.constant)
        elif hosts is None:
            batch.expect(None)
        else:
            for host in hosts:
                batch.expect(host)

    def new_hosts(self, source: Source, rows: Mapping[Key, Mapping[Column[Any], Any]]) -> None:
        """Note that hosts were inserted whose members, without a foreign key, may be there already.

        They are counted once all else is done: what their members contribute goes to other hosts with the same key too.
        """
        for edge, hop in source.readers:
            if hop.is_deferred:  # rows that refer to it came before it, and were read without it
                for key in self._readers(edge, hop, list(rows))[1]:  # of this transaction, which sees them
                    self._count_later(edge, key)
        for host in {e.host for e in self.loose_edges() if e.host.source is source}:
            for edge in [e for e in host.edges if not e.has_foreign_key]:
                lock_hosts(self, edge, [tuple(row.get(c) for c in edge.host_key) for row in rows.values()])
        if source.host is not None:
            self._uncounted.setdefault(source, {}).update(dict.fromkeys(rows))

    def has_loose_members(self, source: Source) -> bool:
        """Whether members of the hosts in ``source``, or rows that read those of ``source``, may exist before them."""
        return self.statements.keep(
            ("loose members", source),
            lambda: (
                any(edge.host.source is source for edge in self.loose_edges())
                or any(hop.is_deferred for _, hop in source.readers)
            ),
        )

    def loose_edges(self) -> list[Edge]:
        """Return the edges without a foreign key, or with one that is checked later: members may precede their host."""
        hosts = self.statements.plan.hosts.values()
        return self.statements.keep(
            "loose", lambda: [e for h in hosts for e in h.edges if not e.has_foreign_key or e.is_deferred]
        )

    def run(self) -> None:
        """Apply everything that is pending, level by level, until nothing changes."""
        for edge, keys in self._moved_in_trees.items():
            refuse_cycles(self, edge, list(keys))
        self._moved_in_trees.clear()
        for edge, links in self._new_links.items():
            for key in find_repeated(self, edge, links):
                self._recount_over(edge, key)
        self._new_links.clear()
        while (self.mutations is not None and self.mutations.react()) or self.pending:
            if not self.pending:
                continue
            host = min(self.pending, key=lambda h: h.rank)
            batches = self._levels.take(host, self.pending.pop(host))
            self._steps += 1
            self._last_steps.append(host)
            for key in dict.fromkeys(tuple(edge.host_key) for edge in batches):
                alike = {e: b for e, b in batches.items() if tuple(e.host_key) == key}
                self._hosts.apply(host, key, {e: b for e, b in alike.items() if e.is_additive})
                for edge, batch in alike.items():
                    if not edge.is_additive:
                        self._selections.apply(edge, batch)
        while self._uncounted:
            from .rekeyed import recount  # it stands on this module

            recount(self, *self._uncounted.popitem())
        self._refresh_kept_by_database()

    def _refresh_kept_by_database(self) -> None:
        """Read what the database has changed by itself in rows that were updated here, and the session has loaded."""
        plan = self.statements.plan
        for mapper, keys in self.memory.take_behind():
            source = plan.sources[mapper.local_table]  # type: ignore[index]  # the engine writes to watched tables
            loaded = [instance for key in keys for instance in self.memory.find(mapper, key)]
            columns = list(dict.fromkeys(c for i in loaded for c in plan.kept_by_database(object_mapper(i))))
            statement = self.statements.read_rows(source, columns, mapper)
            rows = self.execute(source, statement, self.dialect.pack("ids", source.key_shape, keys))
            for row in rows:
                fresh = dict(zip(columns, row[len(source.key) :], strict=True))
                for instance in self.memory.find(mapper, tuple(row[: len(source.key)])):
                    self.memory.put_columns(instance, fresh)

    def _recount_over(self, edge: Edge, link: Key) -> None:
        """Count the host of a link that was there before: what that has contributed nobody read."""
        batch = self.batch(edge)
        batch.ids.pop(link, None)
        batch.unlocked.pop(link, None)
        places = {column: i for i, column in enumerate(edge.driver.key)}
        host = tuple(link[places[column]] for column in edge.key if isinstance(column, Column))
        if None not in host:
            self._count_later(edge, host)

    def _count_later(self, edge: Edge, host: Key) -> None:
        """Count a host once all else is done, given as members know it."""
        keys = [host] if edge.refers_by_primary_key else self.lock_targets(edge.host, tuple(edge.host_key), {host})
        self._uncounted.setdefault(edge.host.source, {}).update(dict.fromkeys(keys))

    def changed(self, host: Host, keys: Iterable[Key]) -> None:
        """Note that rows of ``host`` have changed in this step.

        :raises SchedulerError: if one of them changes again and again.
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

    def lock_targets(self, host: Host, key: tuple[Column[Any], ...], targets: set[Key]) -> list[Key]:
        """Lock hosts by the columns that their members name; return their primary keys."""
        ordered = sorted(targets) if is_exact_key(key) else list(targets)
        parameters = self.dialect.pack("ids", HostStatements.of(self.statements).host_shape(key), ordered)
        return [
            tuple(row)
            for row in self.execute(host.source, HostStatements.of(self.statements).lock_hosts(host, key), parameters)
        ]
