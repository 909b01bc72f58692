"""Lock the keys of hosts whose members have no foreign key, since either may be written first.

A transaction that reads the contribution of a member holds a shared lock on the host's key; one that inserts a host or
changes its key holds an exclusive lock. The second of the two waits for the first to commit, and then sees its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Enum, Integer, String, Uuid

from .advisory_locks import lock_names, place_of

if TYPE_CHECKING:
    from ..plan import Edge, Key, Source
    from .database import Database

#: a database keeps locks in memory of fixed size; keys that share a lock cost only a wait
_LOCKS_PER_EDGE = 16


def lock_members(db: Database, edge: Edge, keys: Iterable[Key] | None) -> None:
    """Prevent hosts with one of ``keys`` from being inserted before the transaction ends; ``None``: any host."""
    if not edge.has_foreign_key:
        _lock(db, edge, range(_LOCKS_PER_EDGE) if keys is None else _places(edge, keys), shared=True)


def lock_hosts(db: Database, edge: Edge, keys: Iterable[Key]) -> None:
    """Wait for writers of members of hosts with ``keys``, and block new ones."""
    _lock(db, edge, _places(edge, keys), shared=False)


def lock_rekeyed(db: Database, source: Source) -> None:
    """Do the same for hosts in ``source`` that are about to get other, unknown keys."""
    for edge in db.statements.edges_without_foreign_key:
        if edge.host.source is source and not edge.has_foreign_key:
            _lock(db, edge, range(_LOCKS_PER_EDGE), shared=False)


def _lock(db: Database, edge: Edge, places: Iterable[int], *, shared: bool) -> None:
    names = [f"host of {edge.name} {place}" for place in places]
    if names and db.dialect.has_row_locks:
        db.require_latest_rows(
            edge.member, f"{edge.name}: a search for rows without a foreign key, inserted in any order"
        )
        lock_names(db, edge.member, names, shared=shared)


def _places(edge: Edge, keys: Iterable[Key]) -> Sequence[int]:
    known = all(_is_textual(column) for column in edge.host_key)
    return [_place(key) if known else 0 for key in keys if None not in key]


def _is_textual(column: Column[Any]) -> bool:
    """Whether values that the database considers equal have the same text, after the changes of :func:`_place`."""
    return isinstance(column.type, (Integer, Uuid, String)) and not isinstance(column.type, Enum)


def _place(key: Key) -> int:
    texts = [str(int(value)) if isinstance(value, int) else str(value) for value in key]
    return place_of("\0".join(text.casefold().replace("-", "").strip() for text in texts), _LOCKS_PER_EDGE)
