"""One round of keeping values true: old contributions, a write, new contributions, and so on upwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import Column, Connection, Executable
from sqlalchemy.orm import Session

from ..errors import ComputationError, SchedulerError
from .computations.numbers import add_exactly, negate_exactly
from .connection import connection_of, require_latest_rows
from .dialects import Lock
from .dialects.base import is_exact_key, named
from .execution import is_observed, run_kept, run_statement
from .fused import width
from .listener import Listener
from .locks import LockPass
from .loose import lock_hosts, lock_members
from .memory import Memory
from .plan import Edge, Hop, Host, Source
from .python_parts import evaluate_members
from .statements import Statements
from .touched import Batch, Key, Row, Touched, folded
from .trees import lock_structure, refuse_cycles

_MAX_STEPS = 1000
#: up to this many hosts a database whose RETURNING knows no joins may look each change up again
_FEW_TARGETS = 4


class Propagation:
    """What one write sets off, up to the point where nothing changes any more.

    :ivar settled: edges whose new neighbours were locked before the write.
    :ivar mutations: who hears of the writes; ``None``: nobody, as in a repair.
    """

    mutations: Listener | None = None

    def __init__(self, session: Session, statements: Statements, memory: Memory) -> None:
        self.session = session
        self.statements = statements
        self.dialect = statements.dialect
        self.memory = memory
        self.pending: dict[Host, dict[Edge, Batch]] = {}
        self._steps: list[Host] = []
        # one write stays on one connection; the session looks for it anew each time it is asked
        self._connections: dict[Source, Connection] = {}
        self._observed: dict[Connection, bool] = {}
        self._moved_in_trees: dict[Edge, dict[Key, None]] = {}
        self._uncounted: dict[Source, dict[Key, None]] = {}
        self.settled: set[Edge] = set()

    def execute(self, source: Source, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
        """Run one of the engine's statements."""
        connection = self.connection(source)
        kept = None if self._is_observed(connection) else self.statements.text_of(statement, connection.dialect)
        if kept is None:
            return run_statement(connection, statement, parameters)
        return run_kept(connection, kept, parameters)

    def _is_observed(self, connection: Connection) -> bool:
        found = self._observed.get(connection)
        if found is None:
            found = self._observed[connection] = is_observed(connection)
        return found

    def connection(self, source: Source) -> Connection:
        found = self._connections.get(source)
        if found is None:
            found = self._connections[source] = connection_of(self.session, source)
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
                    self._read_old(edge, rows.keys, () if ahead else edge.hops)
            for edge, hop in source.readers:
                if rows.reaches(hop.inputs):
                    # what lies beyond the changed rows was locked with them, and the hosts of their readers too
                    self._read_readers(edge, hop, rows.keys, (), rows.columns, locks.readers(edge, hop, rows.keys))

    def subtract_locked(self, edge: Edge, touched: Touched, found: Sequence[Any], place: int) -> int:
        """Subtract what touched rows contribute over an edge; return where the next columns of ``found`` begin.

        :param found: locked rows, keys first; at ``place`` the host's key and the contribution.
        """
        batch, width = self.batch(edge), len(edge.driver.key)
        end = place + len(edge.key) + len(edge.host.vector)
        for row in found:
            key = tuple(row[:width])
            if key in touched.keys and key not in batch.ids:
                self._subtract(batch, tuple(row[place:end]), len(edge.key))
        batch.ids.update(dict.fromkeys(touched.keys))
        return end

    @staticmethod
    def _subtract(batch: Batch, row: Row, width: int) -> None:
        key = row[:width]
        if None not in key:
            batch.rows.append((*key, *map(negate_exactly, row[width:])))

    def _read_old(self, edge: Edge, keys: Iterable[Key], unlocked: Sequence[Hop]) -> None:
        """Subtract what rows contribute over an edge.

        :param unlocked: steps of its paths whose rows nobody has locked yet.
        """
        batch = self.batch(edge)
        ids = [key for key in keys if key not in batch.ids]
        if not ids:
            return
        self._lock_neighbours(edge, ids, unlocked)
        for row in self._contributions(edge, ids):
            self._subtract(batch, row, len(edge.key))
        batch.ids.update(dict.fromkeys(ids))

    def _contributions(self, edge: Edge, ids: Sequence[Key]) -> list[Row]:
        lock_members(self, edge, None)
        parameters = self.dialect.pack("ids", edge.driver.key_shape, ids)
        if edge.python:
            rows = self.execute(edge.driver, self.statements.read_members(edge), parameters)
            return evaluate_members(edge, rows)
        return [tuple(r) for r in self.execute(edge.driver, self.statements.read_contributions(edge), parameters)]

    def find_readers(self, edge: Edge, hop: Hop, keys: Sequence[Key]) -> tuple[list[Key], set[Key]]:
        """Return the driver rows that read rows ``keys`` along ``hop``, and the keys of their hosts."""
        self.require_latest_rows(edge.driver, f"{edge.name}: a change of {hop.source.table.name!r} reaches its readers")
        parameters = self.dialect.pack("ids", hop.source.key_shape, keys)
        found = [tuple(r) for r in self.execute(edge.driver, self.statements.find_readers(edge, hop), parameters)]
        width = len(edge.driver.key)
        constant = edge.host.constant
        hosts = {row[width:] if constant is None else constant for row in found}
        return [row[:width] for row in found], {host for host in hosts if None not in host}

    def _read_readers(
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
        self._read_old(edge, found, unlocked)
        if found and columns:
            batch, names = self.batch(edge), {column.key for column in columns}
            for further in edge.hops:
                if further.parent is hop and any(getattr(c, "key", None) in names for c in further.local):
                    for step in (further, *edge.beyond(further)):
                        batch.beyond.setdefault(step, {}).update(dict.fromkeys(found))

    def _lock_neighbours(self, edge: Edge, ids: Sequence[Key], hops: Iterable[Hop]) -> None:
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
            batch.ids[key] = None
            if edge.hops and edge not in self.settled:
                batch.unlocked[key] = None
            if edge.host.constant is not None:
                batch.expect(edge.host.constant)
            elif fresh or edge in host_key:
                batch.expect(host_key.get(edge))

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
        batch, fresh = self.batch(edge), dict.fromkeys(keys)
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
        for host in {e.host for e in self.loose_edges() if e.host.source is source}:
            for edge in [e for e in host.edges if not e.has_foreign_key]:
                lock_hosts(self, edge, [tuple(row.get(c) for c in edge.host_key) for row in rows.values()])
        self._uncounted.setdefault(source, {}).update(dict.fromkeys(rows))

    def has_loose_members(self, source: Source) -> bool:
        """Whether members of the hosts in ``source`` may exist before them."""
        return any(edge.host.source is source for edge in self.loose_edges())

    def loose_edges(self) -> list[Edge]:
        """Return the edges without a foreign key, whose members may precede their host."""
        hosts = self.statements.plan.hosts.values()
        return self.statements.keep("loose", lambda: [e for h in hosts for e in h.edges if not e.has_foreign_key])

    def run(self) -> None:
        """Apply everything that is pending, level by level, until nothing changes."""
        for edge, keys in self._moved_in_trees.items():
            refuse_cycles(self, edge, list(keys))
        self._moved_in_trees.clear()
        while (self.mutations is not None and self.mutations.react()) or self.pending:
            if not self.pending:
                continue
            host = min(self.pending, key=lambda h: h.rank)
            batches = self.pending.pop(host)
            self._count_step(host)
            for key in dict.fromkeys(tuple(edge.host_key) for edge in batches):
                self._apply(host, key, {e: b for e, b in batches.items() if tuple(e.host_key) == key})
        while self._uncounted:
            from .rekeyed import recount  # it stands on this module

            recount(self, *self._uncounted.popitem())

    def _count_step(self, host: Host) -> None:
        self._steps.append(host)
        if len(self._steps) > _MAX_STEPS:
            path = " -> ".join(h.table.name for h in self._steps[-8:])
            raise SchedulerError(
                f"computed values keep changing each other: … {path}; break the cycle of computations or of rows",
                path=[h.table.name for h in self._steps],
            )

    def _apply(self, host: Host, key: tuple[Column[Any], ...], batches: Mapping[Edge, Batch]) -> None:
        rows: list[Row] = []
        inline: dict[Edge, list[Key]] = {}
        targets: set[Key] = set()
        for edge, batch in batches.items():
            rows += batch.rows
            if not batch.ids:
                continue
            ids = list(batch.ids)
            if batch.unlocked:
                # the check of a foreign key has locked the first step of written rows just as well
                hops = [hop for hop in edge.hops if not (hop.checked and edge.neighbour_lock(hop) is Lock.KEY_SHARE)]
                self._lock_neighbours(edge, list(batch.unlocked), hops)
            for hop in edge.hops if batch.beyond else ():
                if hop in batch.beyond:
                    self._lock_neighbours(edge, list(batch.beyond[hop]), (hop,))
            if edge.python or batch.keys is None:
                rows += [row for row in self._contributions(edge, ids) if None not in row[: len(key)]]
            else:
                lock_members(self, edge, batch.keys)
                inline[edge] = ids
                targets |= batch.keys
        if is_exact_key(key):
            rows = folded(rows, len(key), keep_zero=bool(inline))
        targets.update(row[: len(key)] for row in rows)
        if targets:
            self._write(host, key, frozenset(batches), inline, rows, targets)

    def _write(
        self,
        host: Host,
        key: tuple[Column[Any], ...],
        applied: frozenset[Edge],
        inline: Mapping[Edge, list[Key]],
        rows: list[Row],
        targets: set[Key],
    ) -> None:
        statements, dialect = self.statements, self.dialect
        exact = is_exact_key(key) and key == tuple(host.key)
        fused = dialect.returns_joined or (len(targets) <= _FEW_TARGETS and _may_be_read_again(host, inline))
        heard = self._is_heard(host)
        edges, readers = statements.read_before(host, applied, fused)
        reads_before = bool(edges or readers)
        before = {edge: self.batch(edge).mark() for edge in (*edges, *(edge for edge, _ in readers))}
        pair = len(targets) == 2 and exact and dialect.chains_updates and not reads_before
        if reads_before or (len(targets) > 1 and not pair and dialect.has_row_locks):
            if dialect.has_row_locks and any(_before_readers(edge, hop) for edge, hop in readers):
                self._lock_ahead(host, key, targets, readers)
            keys = self.lock_targets(host, key, targets)
            for edge in edges:
                self._read_old(edge, keys, edge.hops)
            for edge, hop in readers:
                self._read_readers(edge, hop, keys, edge.beyond(hop))
        parameters: dict[str, Any] = {}
        one = (not rows or (len(rows) == 1 and is_exact_key(key))) and all(len(ids) == 1 for ids in inline.values())
        for n, (edge, ids) in enumerate(inline.items()):
            parameters |= dialect.pack_some(f"ids_{n}", edge.driver.key_shape, ids, one=one)
        if rows:
            parameters |= dialect.pack_some("rows", statements.row_shape(host, key), rows, one=one)
        if pair:
            (first,), (second,) = sorted(targets)
            parameters |= {named("first"): first, named("second"): second}
        above: tuple[Edge, ...] = ()
        # who listens sees one plain statement for each level
        heard_of = self._is_observed(self.connection(host.source))
        if len(targets) == 1 and not reads_before and not self.pending and not heard_of:
            above = statements.above(host)
        heard_above = tuple(self._is_heard(edge.host) for edge in above)
        statement = statements.apply(
            host,
            key,
            tuple(inline),
            rows=bool(rows),
            one=one,
            old=heard,
            fused=fused,
            pair=pair,
            above=above,
            old_above=heard_above,
        )
        returned = self.execute(host.source, statement, parameters)
        if host.constant is not None and not returned:
            self._require_dictionary(host)
        for edge, mark in before.items() if not returned else ():
            self.batch(edge).back_to(mark)  # nothing changed: or values of one row, each read for the other, never end
        levels = [(host, heard), *((edge.host, told) for edge, told in zip(above, heard_above, strict=True))]
        self._take(levels, returned, fused)

    def _is_heard(self, host: Host) -> bool:
        return self.mutations is not None and self.mutations.wanted(host.mapper)

    def _take(self, levels: Sequence[tuple[Host, bool]], returned: Sequence[Row], fused: bool) -> None:
        """Take what one statement returned, level by level.

        :param levels: hosts from below, and whether their old values were returned.
        """
        rows: Sequence[Row | None] = returned
        for n, (host, heard) in enumerate(levels):
            size = width(host, self.statements.parents(host) if fused else (), heard)
            above: list[Row | None] = [None if row is None else row[size:] for row in rows]
            if n + 1 < len(levels):  # a level that was not reached has no key
                above = [None if row is None or row[0] is None else row for row in above]
            else:
                above = [None] * len(above)
            own: dict[Key, Row] = {}
            for row, reached in zip(rows, above, strict=True):
                if row is None or row[: len(host.key)] in own:
                    continue
                own[row[: len(host.key)]] = row[:size]
                self._go_on(host, row, fused and reached is None, heard)
            self._after_hosts(host, list(own.values()), heard)
            rows = above

    def _lock_ahead(
        self, host: Host, key: tuple[Column[Any], ...], targets: set[Key], readers: Sequence[tuple[Edge, Hop]]
    ) -> None:
        """Lock hosts together with those of their readers, and on the way all hosts that are known to change."""
        top = max([host.rank, *(edge.host.rank for edge, hop in readers if edge.beside(hop))])
        locks = LockPass(self, {}, top=top)
        if key != tuple(host.source.key):
            targets = set(self.lock_targets(host, key, targets))
        for target in targets:
            locks.add_host(host.source, target)
        for other, batches in self.pending.items():
            for edge, batch in batches.items() if other.rank <= top else ():
                if tuple(edge.host_key) != tuple(other.source.key):
                    continue
                found = {row[: len(edge.key)] for row in batch.rows} | (batch.keys or set())
                if batch.keys is None and not edge.python:
                    found |= {row[: len(edge.key)] for row in self._contributions(edge, list(batch.ids))}
                for target in found:
                    if None not in target:
                        locks.add_host(other.source, target)
        locks.run()

    def lock_targets(self, host: Host, key: tuple[Column[Any], ...], targets: set[Key]) -> list[Key]:
        """Lock hosts by the columns that their members name; return their primary keys."""
        ordered = sorted(targets) if is_exact_key(key) else list(targets)
        parameters = self.dialect.pack("ids", self.statements.host_shape(key), ordered)
        return [tuple(row) for row in self.execute(host.source, self.statements.lock_hosts(host, key), parameters)]

    def _go_on(self, host: Host, row: Row, fused: bool, heard: bool) -> None:
        """Take one row of an UPDATE's RETURNING: into memory, and on to the next level."""
        width = len(host.key)
        key = row[:width]
        end = width + len(host.values)
        self.memory.refresh(host.values, key, row[width:end])
        end += len(host.values) if heard else 0
        for edge in self.statements.parents(host) if fused else ():
            start, size, numbers = end, len(edge.key), len(edge.host.vector)
            end = start + size + 2 * numbers
            target = row[start : start + size]
            if None in target:
                continue
            batch = self.batch(edge)
            if key in batch.ids:
                continue  # its new contribution is still to be read, and holds this change
            new, old = row[start + size : start + size + numbers], row[start + size + numbers : end]
            change = tuple(add_exactly(n, negate_exactly(o)) for n, o in zip(new, old, strict=True))
            if any(change):
                batch.rows.append((*target, *change))

    def _after_hosts(self, host: Host, returned: Sequence[Any], heard: bool) -> None:
        """Let same-row values of hosts follow, and tell who listens."""
        width, count = len(host.key), len(host.values)
        keys = [tuple(row[:width]) for row in returned]
        if host.source.same_row and keys:
            self.refresh_same_row(host.source, keys)
        if heard and self.mutations is not None:
            rows = [
                (key, row[width + count : width + 2 * count], row[width : width + count])
                for key, row in zip(keys, returned, strict=True)
            ]
            self.mutations.written(host, rows)

    def refresh_same_row(self, source: Source, keys: Sequence[Key]) -> None:
        """Compute same-row values of stored rows anew."""
        from .same_row import refresh_same_row  # it stands on this module

        refresh_same_row(self, source, keys)

    def _require_dictionary(self, host: Host) -> None:
        assert host.constant is not None
        packed = self.dialect.pack("ids", self.statements.host_shape(host.key), [host.constant])
        if not self.execute(host.source, self.statements.lock_hosts(host, tuple(host.key)), packed):
            name = host.values[0].record
            raise ComputationError(
                f"dictionary {name!r} has no row; create its table with MetaData.create_all() or "
                "controller.setup(install=True), or run the pending migrations",
                record=name,
            )


def _before_readers(edge: Edge, hop: Hop) -> bool:
    """Whether the hosts of rows that read a changed row are locked before these rows are read."""
    return bool(edge.beside(hop)) or edge.comes_before(hop)


def _may_be_read_again(host: Host, inline: Iterable[Edge]) -> bool:
    """Whether a subquery in RETURNING may read the new contributions: there columns go without their table's name."""
    return all(edge.own and edge.driver is not host.source for edge in inline)
