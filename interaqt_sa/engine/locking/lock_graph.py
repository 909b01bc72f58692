"""Derive from the plan which locks of a lock pass require which others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column

from ...dialects import Lock

if TYPE_CHECKING:
    from ..database.pending_deltas import Touched
    from ..plan import Edge, Source


@dataclass(slots=True)
class Wanted:
    """One row of the pass.

    :ivar lock: its lock; ``None`` for a row that is locked already.
    :ivar follows: whether contributions that read the row are read, so that its neighbours must be locked too.
    :ivar climbs: whether the hosts above it are locked too.
    :ivar checked: whether the write itself takes the same lock, by a foreign key check.
    :ivar updated: whether its computed values will change.
    """

    lock: Lock | None
    follows: bool = False
    climbs: bool = False
    checked: bool = False
    updated: bool = False

    def with_(self, other: Wanted) -> Wanted:
        """Return the combination that satisfies both."""
        return Wanted(
            max((lock for lock in (other.lock, self.lock) if lock is not None), default=None),
            self.follows or other.follows,
            self.climbs or other.climbs,
            self.checked and other.checked,
            self.updated or other.updated,
        )


class Reference(NamedTuple):
    """Columns of a table that refer to a row of another."""

    target: Source
    columns: tuple[Column[Any], ...]
    lock: Lock
    to_host: Edge | None = None


def references(source: Source, touched: Touched | None, rows: Collection[Wanted], top: int | None) -> list[Reference]:
    """Return the references from ``source`` that a lock pass has to follow.

    :param touched: the rows of ``source`` that are written.
    :param rows: the rows of ``source`` that the pass locks.
    :param top: the rank up to which hosts are locked in any case.
    """
    follows, climbs = any(row.follows for row in rows), any(row.climbs for row in rows)
    found: dict[tuple[Source, tuple[Column[Any], ...]], Reference] = {}
    for edge in source.edges:
        for hop in edge.hops if follows and touched is not None and touched.reaches(edge.inputs) else ():
            if hop.parent is None and not hop.same_row:
                _add(found, source, hop.source, hop.local, hop.remote, edge.neighbour_lock(hop))
    for edge, hop in source.readers if follows else ():
        for further in edge.hops:
            if further.parent is hop and not further.same_row and hop.table is source.table:
                local = [source.table.c.get(getattr(c, "key", "")) for c in further.local]
                _add(found, source, further.source, local, further.remote, edge.neighbour_lock(further))
    leading = list(found.values())
    for edge in source.edges:
        host = edge.host.source
        columns = tuple(column for column in edge.key if isinstance(column, Column))
        changes = touched is not None and touched.reaches(edge.inputs)
        changes = changes or (_changes_with(source, edge) and any(row.updated for row in rows))
        ahead = climbs and top is not None and host.rank <= top
        # the foreign key check of a row that moves locks its new host before the hosts are locked
        moves = touched is not None and touched.columns is not None and not touched.columns.isdisjoint(columns)
        if changes and edge.holds_key and (ahead or (moves and host.readers and edge.refers_by_primary_key)):
            leading.append(Reference(host, columns, Lock.NO_KEY_UPDATE, edge))
    return leading


def may_be_late(touched: Mapping[Source, Touched], waiting: Iterable[Source]) -> bool:
    """Whether the pass may find rows that it should have locked before rows that it has locked already.

    :param waiting: the tables with which the pass begins.
    """
    seen: set[Source] = set()
    left = [*waiting]
    while left:
        source = left.pop()
        if source in seen:
            continue
        seen.add(source)
        rows = touched.get(source)
        for edge, hop in source.readers:
            reached = rows is not None and rows.reaches(hop.inputs)
            if edge.comes_before(hop) and (reached or is_read(source)):
                return True
        left += [edge.host.source for edge in source.edges]
    return False


def has_hosts_below(source: Source, rows: Touched) -> bool:
    """Whether the hosts of rows that read changed rows must be locked before the changed rows."""
    return any(edge.comes_before(hop) and rows.reaches(hop.inputs) for edge, hop in source.readers)


def is_read(source: Source) -> bool:
    """Whether contributions of other rows read computed values of ``source``."""
    return source.host is not None and any(hop.inputs & source.host.written for _, hop in source.readers)


def ranks_ahead(touched: Mapping[Source, Touched]) -> Iterator[int]:
    """Yield the ranks at which rows are locked or written before the deltas of a write are applied.

    The unit of work writes parents before children, and neighbours are locked before they are read, but the engine
    locks from the bottom up. So hosts of lower rank than the highest of these that contributions will reach must be
    locked in advance, in their turn. For changed neighbours see :meth:`LockPass._want_hosts_of_readers`.
    """
    seen: set[Source] = set()

    def visit(source: Source, reaches: Callable[[set[Column[Any]]], bool]) -> Iterator[int]:
        for edge, hop in source.readers:
            if edge.beside(hop) and reaches(hop.inputs):
                yield edge.host.rank
        for edge in source.edges:
            host = edge.host
            if host.source not in seen and reaches(edge.inputs):
                seen.add(host.source)
                yield from visit(host.source, lambda inputs, host=host: bool(inputs & host.written))  # type: ignore[misc]

    for source, rows in touched.items():
        yield source.rank
        yield from (hop.source.rank for edge in source.edges if rows.reaches(edge.inputs) for hop in edge.hops)
        for edge, hop in source.readers:
            if rows.reaches(hop.inputs):
                yield from (further.source.rank for further in edge.beyond(hop))
        yield from visit(source, rows.reaches)


def _changes_with(source: Source, edge: Edge) -> bool:
    """Whether the contribution of a host over ``edge`` depends on its own computed values."""
    return source.host is not None and bool(edge.inputs & source.host.written)


def _add(
    found: dict[tuple[Source, tuple[Column[Any], ...]], Reference],
    source: Source,
    target: Source,
    local: Iterable[Any],
    remote: Sequence[Column[Any]],
    lock: Lock,
) -> None:
    columns = tuple(column for column in local if isinstance(column, Column) and column.table is source.table)
    if len(columns) != len(remote) or tuple(remote) != target.key:
        return  # the reference is from a subclass table of joined inheritance: its target is locked after the write
    known = found.get((target, columns))
    found[target, columns] = Reference(target, columns, max(lock, known.lock) if known else lock)
