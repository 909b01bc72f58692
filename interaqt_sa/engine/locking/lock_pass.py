"""Take all row locks that a write needs, in one pass from the bottom up.

Each table is locked once, by one statement and in the order of its keys, with the strongest lock that any of its rows
needs; tables are locked in the lock order of the plan. The locking statement also reads the foreign keys of the rows:
PostgreSQL returns the latest version of a locked row after a wait. So the rows above are known in time: the neighbours
that contributions read, and, where a write updates hosts itself, the hosts that its contributions will reach.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...dialects import Lock
from .lock_graph import Reference, Wanted, is_read, may_be_late, ranks_ahead, references

if TYPE_CHECKING:
    from sqlalchemy import Column

    from ..database.pending_deltas import Touched
    from ..database.reader import Reader
    from ..plan import Edge, Hop, Key, Source


_SAVEPOINT = "iq__locks"
#: how often locks are released and taken again until their order is right; the last attempt accepts any order
_MAX_ATTEMPTS = 10


#: a function of an edge, the written members, locked rows, and the position of the edge's columns in them
Subtract = Callable[["Edge", "Touched", Sequence[Any], int], int]


class LockPass:
    """The locks of one write.

    :param touched: rows that will be written.
    :param written: other tables whose rows will be written.
    :param referred: tables whose rows will be locked by foreign key checks.
    :param edges: edges over which written rows contribute, besides those of ``touched``.
    :param top: the rank up to which hosts are locked in any case.
    :param wanted: columns that the locking statement has to read.
    :ivar found: their values by the keys of the rows; rows that needed no statement are missing.
    """

    def __init__(
        self,
        reader: Reader,
        touched: Mapping[Source, Touched],
        *,
        written: Iterable[Source] = (),
        referred: Iterable[Source] = (),
        edges: Iterable[Edge] = (),
        top: int | None = None,
        wanted: Mapping[Source, tuple[Column[Any], ...]] | None = None,
    ) -> None:
        self._reader = reader
        self._db = reader.db
        self._wanted = wanted or {}
        self.found: dict[Source, dict[Key, tuple[Any, ...]]] = {}
        self._touched = touched
        ranks = [source.rank for source in written] + [hop.source.rank for edge in edges for hop in edge.hops]
        ranks += [source.rank - 1 for source in referred]  # a row is not locked before itself
        self._top: int | None = max((*ranks, *ranks_ahead(touched), *([] if top is None else [top])), default=None)
        self._waiting: dict[Source, dict[Key, Wanted]] = {}
        self._locked: dict[Source, dict[Key, Wanted]] = {}
        self._is_followed = False
        self._subtract: Subtract | None = None
        self._late: dict[Source, dict[Key, Wanted]] | None = None
        self._without_foreign_key: dict[Edge, set[Key]] = {}
        self._read: dict[tuple[Edge, Hop, bool], set[Key]] = {}
        self._found: dict[tuple[Edge, Hop], dict[Key, None]] = {}
        for source, rows in touched.items():
            for key, lock in rows.keys.items():
                self._want(source, key, Wanted(lock, follows=True, climbs=self._top is not None))

    def add_host(self, source: Source, key: Key) -> None:
        """Add a host that the write will update, or that its contributions will reach."""
        if self._top is not None and source.rank <= self._top:
            self._want(source, key, Wanted(Lock.NO_KEY_UPDATE, follows=is_read(source), climbs=True, updated=True))
        elif source.readers:
            # other transactions lock the host to change columns that are read, and a foreign key check locks it before
            # us
            self._want(source, key, Wanted(Lock.NO_KEY_UPDATE, checked=True))

    def add_host_over(self, edge: Edge, key: Key) -> None:
        """Add a host by the values of the columns by which members of ``edge`` refer to it."""
        if edge.refers_by_primary_key:
            self.add_host(edge.host.source, key)
        elif self._top is not None and edge.host.rank <= self._top and self._db.dialect.has_row_locks:
            self._without_foreign_key.setdefault(edge, set()).add(key)

    def add_neighbour(self, source: Source, key: Key, lock: Lock, *, checked: bool) -> None:
        """Add a row that written rows will refer to, and that their contributions read."""
        self._want(source, key, Wanted(lock, follows=True, checked=checked))

    def add_referred(self, source: Source, key: Key) -> None:
        """Add a row that written rows will refer to; a foreign key check will lock it."""
        self._want(source, key, Wanted(Lock.KEY_SHARE, checked=True))

    def add_written(self, source: Source, rows: Mapping[Key, Lock]) -> None:
        """Add rows of a table without computations that the unit of work will write."""
        ordered = len(rows) == 1 or Lock.UPDATE not in rows.values()
        if ordered and source.rank == self._top and all(source.rank > other.rank for other in self._waiting):
            self._is_followed = True
            return  # the unit of work locks them in order, after all others
        for key, lock in rows.items():
            self._want(source, key, Wanted(lock))

    def _want(self, source: Source, key: Key, wanted: Wanted) -> None:
        waiting, locked = self._waiting.get(source, {}).get(key), self._locked.get(source, {}).get(key)
        for held in (waiting, locked):
            wanted = wanted.with_(held) if held is not None else wanted
        if wanted == locked:
            return
        self._waiting.setdefault(source, {})[key] = wanted
        if self._late is not None and any(source.rank <= other.rank for other in self._locked):
            self._late.setdefault(source, {})[key] = wanted

    def __bool__(self) -> bool:
        return bool(self._waiting or self._without_foreign_key)

    def run(self, subtract: Subtract | None = None) -> None:
        """Take the locks.

        :param subtract: subtracts the contributions of touched rows over edges that read no other rows; the locking
            statement reads these contributions. See :meth:`.Propagation.subtract_locked`.
        """
        self._subtract = subtract
        if self._is_single_host():
            return  # a single lock needs no order
        statements = self._db.statements
        in_order = not statements.has_hosts_below or not may_be_late(self._touched, self._waiting)
        if in_order or not self._db.dialect.has_row_locks:
            self._run()
            return
        wanted = {source: dict(rows) for source, rows in self._waiting.items()}
        given = {edge: set(keys) for edge, keys in self._without_foreign_key.items()}
        connection = self._db.connection(next(iter(wanted)))
        connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}")
        for again in reversed(range(_MAX_ATTEMPTS)):
            self._late = {} if again else None
            self._run()
            if not self._late:
                break
            connection.exec_driver_sql(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            for source, rows in self._late.items():
                wanted.setdefault(source, {}).update(rows)
            self._waiting = {source: dict(rows) for source, rows in wanted.items()}
            self._without_foreign_key = {edge: set(keys) for edge, keys in given.items()}
            self._locked, self._read, self._found = {}, {}, {}
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {_SAVEPOINT}")

    def readers(self, edge: Edge, hop: Hop, keys: Collection[Key]) -> list[Key] | None:
        """Return the rows that read the locked rows ``keys`` along ``hop``; ``None`` if the pass did not search them.

        While the rows are locked, their set of readers cannot change.
        """
        known = self._read.get((edge, hop, False))
        return list(self._found[edge, hop]) if known is not None and known == set(keys) else None

    def _run(self) -> None:
        has_below = self._db.statements.has_hosts_below
        while has_below and any(
            self._want_hosts_of_readers(s, rows, below=True) for s, rows in [*self._waiting.items()]
        ):
            pass  # hosts that come first in the lock order must be known before the first lock
        while waiting := [*self._waiting, *(edge.host.source for edge in self._without_foreign_key)]:
            source = min(waiting, key=lambda s: s.rank)
            for edge in [e for e in self._without_foreign_key if e.host.source is source]:
                found = self._reader.lock_targets(edge.host, {edge.host_key: self._without_foreign_key.pop(edge)})
                for key in found if self._climbs_from(source) else ():
                    self.add_host(source, key)
            if source not in self._waiting:
                continue
            if not has_below or not self._want_hosts_of_readers(source, self._waiting[source], below=True):
                rows = self._waiting.pop(source)
                self._locked.setdefault(source, {}).update(rows)
                self._lock(source, rows)
                self._want_hosts_of_readers(source, rows, below=False)
            if self._late:
                return

    def _want_hosts_of_readers(self, source: Source, rows: Mapping[Key, Wanted], *, below: bool) -> bool:
        """Want the hosts of rows that read changed rows and also other neighbours; return whether there are any.

        Two transactions that change neighbours of one member, on different paths, must not both read its old
        contribution. Neither can lock the other's neighbour: each holds the one that the other would request. The host
        is common to both, and comes after both in the lock order.

        :param below: only hosts that come before the changed rows, which they refer to. Until the changed rows are
            locked, another transaction may add such hosts; so they are searched again after that.
        """
        if self._top is None or not self._db.dialect.has_row_locks:
            return False
        touched, found = self._touched.get(source), False
        for edge, hop in source.readers:
            if below and not edge.comes_before(hop):
                continue
            if not edge.beside(hop) and edge.host.rank > self._top:
                continue
            changed = touched.keys if touched is not None and touched.reaches(hop.inputs) else ()
            changes = source.host is not None and bool(hop.inputs & source.host.written)
            keys = {key for key, wanted in rows.items() if key in changed or (changes and wanted.updated)}
            known = self._read.setdefault((edge, hop, below), set())
            keys = {key for key in keys - known if None not in key}
            if not keys:
                continue
            known |= keys
            drivers, hosts = self._reader.find_readers(edge, hop, list(keys))
            found = found or bool(hosts)
            if not below:
                self._found.setdefault((edge, hop), {}).update(dict.fromkeys(drivers))
            if edge.host.constant is None and not edge.refers_by_primary_key:
                if hosts:
                    self._without_foreign_key.setdefault(edge, set()).update(hosts)
                continue
            target = edge.host.source
            for host in hosts:
                self._want(target, host, Wanted(Lock.NO_KEY_UPDATE, is_read(target), climbs=True, updated=True))
        return found

    def _lock(self, source: Source, rows: dict[Key, Wanted]) -> None:
        db, dialect = self._db, self._db.dialect
        touched = self._touched.get(source)
        own = [e for e in source.edges if touched is not None and e.own and touched.reaches(e.inputs)]
        own = own if self._late is None and self._subtract is not None else []  # the lock may be released again
        locks = [wanted.lock for wanted in rows.values() if wanted.lock is not None] if dialect.has_row_locks else []
        leading = references(source, touched, rows.values(), self._top) if locks else []
        # the locks that the write takes itself come after those of the pass, in the order of foreign key checks
        last = not self._is_followed and all(source.rank > other.rank for other in self._waiting)
        checked = last and len(rows) == 1 and all(wanted.checked for wanted in rows.values())
        if not own and (not locks or (checked and not leading)):
            return
        wanted = self._wanted.get(source, ()) if self._late is None else ()
        columns = (*(reference.columns for reference in leading), *([wanted] if wanted else ()))
        keys = [key for key in rows if all(part is not None for part in key)]
        one, lock = len(keys) == 1, max(locks, default=Lock.NO_KEY_UPDATE)
        statement = db.statements.lock_rows(source, lock, own, columns, one=one)
        found = db.execute(source, statement, dialect.pack_some("ids", source.key_shape, keys, one=one))
        place = len(source.key)
        for edge in own:
            assert touched is not None
            assert self._subtract is not None
            place = self._subtract(edge, touched, found, place)
        for reference in leading:
            self._follow(source, rows, reference, found, place)
            place += len(reference.columns)
        if wanted:
            read = {tuple(row[: len(source.key)]): tuple(row[place:]) for row in found}
            self.found.setdefault(source, {}).update(read)

    def _is_single_host(self) -> bool:
        rows = [wanted for rows in self._waiting.values() for wanted in rows.values()]
        count = len(rows) + sum(map(len, self._without_foreign_key.values()))
        return count == 1 and not self._touched and not self._is_followed and not any(row.follows for row in rows)

    def _climbs_from(self, source: Source) -> bool:
        """Whether hosts of ``source`` contribute to other hosts that the pass locks."""
        return any(self._top is not None and edge.host.rank <= self._top for edge in source.edges)

    def _follow(
        self, source: Source, rows: Mapping[Key, Wanted], reference: Reference, found: Sequence[Any], place: int
    ) -> None:
        width = len(source.key)
        for row in found:
            wanted = rows.get(tuple(row[:width]))
            key = tuple(row[place : place + len(reference.columns)])
            if wanted is None or None in key:
                continue
            if reference.to_host is not None and (wanted.climbs or reference.target.readers):
                self.add_host_over(reference.to_host, key)
            elif reference.to_host is None and wanted.follows:
                self.add_neighbour(reference.target, key, reference.lock, checked=False)
