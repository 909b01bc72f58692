"""Apply pending deltas to host rows, and derive the deltas of the next level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper

from ...dialects import Lock
from ...dialects.base import named
from ...dialects.running_sum_type import subtract_exactly
from ...errors import ComputationError
from ..database.host_key_locks import lock_members
from ..database.pending_deltas import PendingDelta, Row, folded
from ..locking.lock_pass import LockPass
from ..plan import Key
from ..sql.aggregate_updates import HostStatements
from ..sql.host_key import HostKey
from .overflow import refuse_overflow

if TYPE_CHECKING:
    from ..plan import Edge, Hop, Host
    from ..propagation.listener_protocol import RowsByClass
    from ..propagation.propagation import Propagation
    from ..sql.returning_layout import Returned

#: the number of hosts up to which a subquery in RETURNING may read deltas again, if RETURNING does not support joins
_FEW_TARGETS = 4


@dataclass
class HostDelta:
    """Pending deltas of hosts that are identified by the same columns, for additive edges.

    :ivar key: these columns.
    :ivar applied: the edges of the deltas.
    :ivar inline: the edges whose new contributions the UPDATE reads itself, with their contributing rows.
    :ivar rows: the known numbers.
    :ivar targets: the hosts, by ``key``.
    :ivar is_single: whether each set of rows, inline or known, consists of a single row.
    :ivar may_be_read_again: whether a subquery in RETURNING may read the inline contributions again; columns there lack
        the table's name.
    """

    host: Host
    key: HostKey
    applied: frozenset[Edge]
    inline: Mapping[Edge, list[Key]]
    rows: list[Row]
    targets: set[Key]
    is_single: bool
    may_be_read_again: bool

    @property
    def columns(self) -> tuple[Column[Any], ...]:
        """The columns by which the hosts are identified."""
        return self.key.columns


class HostUpdates:
    """The UPDATEs of hosts in one propagation."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._statements = HostStatements.of(propagation.db.statements)
        self._dialect = propagation.db.dialect

    def prepare(
        self, host: Host, columns: tuple[Column[Any], ...], deltas: Mapping[Edge, PendingDelta]
    ) -> HostDelta | None:
        """Lock the rows that contributions read, and find the hosts that change; ``None`` if there are none.

        :param columns: the columns by which the deltas identify hosts.
        """
        propagation, key = self._propagation, self._statements.key(host, columns)
        rows: list[Row] = []
        inline: dict[Edge, list[Key]] = {}
        targets: set[Key] = set()
        is_single = may_be_read_again = True
        for edge, delta in deltas.items():
            rows += delta.rows
            if not delta.ids:
                continue
            ids = list(delta.ids)
            if delta.unlocked:
                # foreign key checks have taken the same lock on the first hop of written rows
                hops = [hop for hop in edge.hops if not (hop.checked and edge.neighbour_lock(hop) is Lock.KEY_SHARE)]
                propagation.reader.lock_neighbours(edge, list(delta.unlocked), hops)
            for hop in edge.hops if delta.beyond else ():
                if hop in delta.beyond:
                    propagation.reader.lock_neighbours(edge, list(delta.beyond[hop]), (hop,))
            if edge.python or delta.keys is None:
                rows += [row for row in propagation.reader.contributions(edge, ids) if None not in row[: key.width]]
            else:
                lock_members(propagation.db, edge, delta.keys)
                inline[edge] = ids
                targets |= delta.keys
                is_single = is_single and len(ids) == 1 and not edge.member.may_repeat
                may_be_read_again = may_be_read_again and edge.own and edge.member is not host.source
        if rows and key.is_exact:
            rows = folded(rows, key.width, keep_zero=bool(inline))
        for row in rows:
            targets.add(row[: key.width])
        if not targets:
            return None
        is_single = is_single and (not rows or (len(rows) == 1 and key.is_exact))
        return HostDelta(host, key, frozenset(deltas), inline, rows, targets, is_single, may_be_read_again)

    def apply(self, change: HostDelta, *, locked: bool) -> None:
        """Update hosts by their delta, and record what changes on the next level.

        :param locked: whether the hosts are locked.
        """
        propagation, statements, dialect = self._propagation, self._statements, self._dialect
        host, key, inline, rows, targets = change.host, change.key, change.inline, change.rows, change.targets
        with_parents = dialect.returns_joined or (len(targets) <= _FEW_TARGETS and change.may_be_read_again)
        heard = self._is_heard(host)
        edges, readers = statements.read_before(host, change.applied, with_parents)
        reads_before = bool(edges or readers)
        marks: dict[Edge, tuple[int, int]] = {}
        for edge in (*edges, *(edge for edge, _ in readers)) if reads_before else ():
            marks[edge] = propagation.delta(edge).mark()
        is_pair = len(targets) == 2 and key.is_exact and key.is_primary
        pair = is_pair and dialect.chains_updates and not reads_before
        is_one = len(targets) == 1 and key.is_unique
        found: Sequence[Key] = ()
        if reads_before or (not locked and not is_one and not pair and dialect.has_row_locks):
            found = self._lock_and_read(host, key.columns, targets, edges, readers)
        parameters: dict[str, Any] = {}
        one = change.is_single
        for n, (edge, ids) in enumerate(inline.items()):
            parameters |= dialect.pack_some(f"ids_{n}", edge.member.key_shape, ids, one=one)
        if rows:
            parameters |= dialect.pack_some("rows", key.row_shape, rows, one=one)
        if pair:
            (first,), (second,) = sorted(targets)
            parameters |= {named("first"): first, named("second"): second}
        above: tuple[Edge, ...] = ()
        if is_one and not reads_before and not propagation.pending and dialect.chains_updates:
            # listeners get one simple statement for each level
            is_observed = propagation.db.is_observed(propagation.db.connection(host.source))
            above = () if is_observed else statements.above(host)
        heard_above = tuple([self._is_heard(edge.host) for edge in above]) if above else ()
        statement = statements.apply(
            host,
            key.columns,
            tuple(inline),
            rows=bool(rows),
            one=one,
            old=heard,
            with_parents=with_parents,
            pair=pair,
            above=above,
            old_above=heard_above,
        )
        returned = propagation.db.execute(host.source, statement, parameters)
        if host.constant is not None and not returned:
            self._require_dictionary(host)
        if reads_before:
            strangers = {tuple(row[: len(host.key)]) for row in returned} - set(found)
            self._count_above(strangers, edges, readers)
        if not dialect.stores_decimals and dialect.lost_digits(propagation.db.connection(host.source)):
            self._count_again(host, key.columns, targets)
        for edge, mark in marks.items() if not returned else ():
            propagation.delta(edge).back_to(mark)  # nothing changed; else values that read other rows might never end
        levels = [statements.returned(host, heard, with_parents)]
        for edge, told in zip(above, heard_above, strict=True):
            levels.append(statements.returned(edge.host, told, with_parents))
        has_values = not all(edge.is_own_row for edge in change.applied)
        self._take(levels, returned, has_values)

    def _count_again(self, host: Host, key: tuple[Column[Any], ...], targets: set[Key]) -> None:
        """Schedule recounts of hosts, and above them, whose sums are not stored with all digits."""
        is_known = key == host.source.key
        keys = targets if is_known else set(self._propagation.reader.lock_targets(host, {key: targets}))
        self._propagation.count_again(host.source, keys)
        edges, readers = self._statements.read_before(host, frozenset(host.edges), with_parents=False)
        self._count_above(keys, edges, readers)

    def _count_above(self, hosts: Iterable[Key], edges: Iterable[Edge], readers: Iterable[tuple[Edge, Hop]]) -> None:
        """Schedule recounts above hosts whose old contributions were not read, or not exactly.

        They were not read of unexpected hosts, to which a trigger has moved a member.
        """
        keys = list(hosts)
        if not keys:
            return
        propagation = self._propagation
        for edge in edges:
            for row in propagation.reader.contributions(edge, keys):
                propagation.count_later(edge, tuple(row[: len(edge.key)]))
        for edge, hop in readers:
            for key in propagation.reader.readers_of(edge, hop, keys)[1]:
                propagation.count_later(edge, key)

    def _is_heard(self, host: Host) -> bool:
        mutations = self._propagation.mutations
        return mutations is not None and mutations.wanted(host.mapper)

    # -- before ------------------------------------------------------------------------------------------------

    def _lock_and_read(
        self,
        host: Host,
        key: tuple[Column[Any], ...],
        targets: set[Key],
        edges: Iterable[Edge],
        readers: Sequence[tuple[Edge, Hop]],
    ) -> Sequence[Key]:
        """Lock hosts, and read the old contributions that depend on them; return their primary keys."""
        propagation = self._propagation
        if self._dialect.has_row_locks and any(edge.beside(hop) or edge.comes_before(hop) for edge, hop in readers):
            self._lock_ahead(host, key, targets, readers)
        keys = propagation.reader.lock_targets(host, {key: targets})
        for edge in edges:
            propagation.read_old(edge, keys, edge.hops)
        for edge, hop in readers:
            propagation.read_readers(edge, hop, keys, edge.beyond(hop))
        return keys

    def _lock_ahead(
        self, host: Host, key: tuple[Column[Any], ...], targets: set[Key], readers: Sequence[tuple[Edge, Hop]]
    ) -> None:
        """Lock hosts, the hosts of their readers, and all other hosts that are known to change, in order."""
        propagation = self._propagation
        top = max([host.rank, *(edge.host.rank for edge, hop in readers if edge.beside(hop))])
        locks = LockPass(propagation.reader, {}, top=top)
        if key != host.source.key:
            targets = set(propagation.reader.lock_targets(host, {key: targets}))
        for target in targets:
            locks.add_host(host.source, target)
        for other, deltas in propagation.pending.items():
            for edge, delta in deltas.items() if other.rank <= top else ():
                found = {row[: len(edge.key)] for row in delta.rows} | (delta.keys or set())
                if delta.keys is None and not edge.python:
                    found |= {row[: len(edge.key)] for row in propagation.reader.contributions(edge, list(delta.ids))}
                for target in found:
                    if None not in target:
                        locks.add_host_over(edge, target)
        locks.run()

    # -- after -------------------------------------------------------------------------------------------------

    def _take(self, levels: Sequence[Returned], rows: Sequence[Row | None], has_values: bool) -> None:
        """Process the rows of one statement, level by level from the bottom up.

        :param has_values: whether the lowest level has new values that functions of the row may read.
        """
        for n, level in enumerate(levels, 1):
            above = [_above(row, level) for row in rows] if n < len(levels) else [None] * len(rows)
            own: dict[Key, Row] = {}
            for row, reached in zip(rows, above, strict=True):
                if row is None or row[level.key] in own:
                    continue
                own[row[level.key]] = row
                self._go_on(level, row, reached is None)
            self._propagation.changed(level.host, own)
            self._tell(level, own, refreshes=has_values or n > 1)
            rows = above

    def _go_on(self, level: Returned, row: Row, is_last: bool) -> None:
        """Set the values of one row on loaded objects, and record deltas of the next level, unless applied already."""
        propagation, key = self._propagation, row[level.key]
        if not self._dialect.refuses_overflow:
            for value, place in level.sums:
                refuse_overflow(value, row[place], key)
        if level.names:
            fresh = dict(zip(level.names, row[level.values], strict=True))
            propagation.db.memory.refresh_attributes(level.host.values[0].mapper, key, fresh)
        for edge, host_key, new, old in level.contributions if is_last else ():
            target = row[host_key]
            if None in target:
                continue
            delta = propagation.delta(edge)
            if key in delta.ids:
                continue  # its new contribution is still to be read, and includes this change
            change = tuple(map(subtract_exactly, row[new], row[old]))
            if any(change):
                delta.rows.append((*target, *change))

    def _tell(self, level: Returned, rows: Mapping[Key, Row], *, refreshes: bool) -> None:
        """Recompute same-row values of hosts, and publish both changes as one event."""
        source, mutations = level.host.source, self._propagation.mutations
        found = self._whole_rows(level, rows) if level.has_old and rows else {}
        fresh: Mapping[Key, Mapping[str, Any]] = {}
        if source.same_row and rows and refreshes:
            from ..database.same_row_functions import refresh_same_row  # it depends on the propagation

            fresh = refresh_same_row(self._propagation.db, source, list(rows))
        if mutations is None or not found:
            return
        old: dict[Mapper[Any], dict[Key, dict[str, Any]]] = {}
        new: dict[Mapper[Any], dict[Key, dict[str, Any]]] = {}
        for mapper, whole in found.items():
            known = self._propagation.db.statements.stored(
                mapper
            )  # rows of other classes of the table may have other values
            for key, row in whole.items():
                returned = rows[key]
                before, now = dict(row), dict(row)
                values = zip(level.names, returned[level.old], returned[level.values], strict=True)
                for name, last, value in values:
                    if name in known:
                        before[name], now[name] = last, value
                now.update(fresh.get(key, {}))
                old.setdefault(mapper, {})[key], new.setdefault(mapper, {})[key] = before, now
        mutations.changed(old, new)

    def _whole_rows(self, level: Returned, rows: Mapping[Key, Row]) -> RowsByClass:
        """Return whole host rows, with same-row values before their recomputation."""
        host = level.host
        if not self._statements.returns_whole_rows(host):
            from ..database.polymorphic_rows import read_by_class  # it depends on the propagation

            return read_by_class(self._propagation.db, host.source, host.mapper, list(rows))
        return {host.mapper: {k: dict(zip(level.rest_names, row[level.rest], strict=True)) for k, row in rows.items()}}

    def _require_dictionary(self, host: Host) -> None:
        assert host.constant is not None
        if not self._propagation.reader.lock_targets(host, {host.key: {host.constant}}):
            name = host.values[0].record
            raise ComputationError(
                f"dictionary {name!r} has no row; create its table with MetaData.create_all() or "
                "controller.setup(install=True), or run the pending migrations",
                record=name,
            )


def _above(row: Row | None, level: Returned) -> Row | None:
    """Return the columns of the levels above ``level``; ``None`` if they were not reached, and so have no key."""
    return None if row is None or row[level.width] is None else row[level.width :]
