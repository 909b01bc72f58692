"""Lock the keys of hosts whose members have no foreign key, since either may be written first.

Who reads what a member contributes holds a lock on the host's key, shared; who writes a host, or gives it another
key, holds it alone. The second of the two waits for the first to commit, and sees it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Enum, Integer, String, Uuid

from .advisory_locks import lock_names, place_of

if TYPE_CHECKING:
    from ..plan import Edge, Key, Source
    from .database import Database

#: A database keeps locks in memory of fixed size; two keys that share one cost a wait, no more.
_LOCKS_PER_EDGE = 16


def lock_members(db: Database, edge: Edge, keys: Iterable[Key] | None) -> None:
    """Let no host with one of ``keys`` appear before the transaction ends; ``None``: no host at all."""
    if not edge.has_foreign_key:
        _lock(db, edge, range(_LOCKS_PER_EDGE) if keys is None else _places(edge, keys), shared=True)


def lock_hosts(db: Database, edge: Edge, keys: Iterable[Key]) -> None:
    """Wait for writers of members of hosts with ``keys``, and let no others begin."""
    _lock(db, edge, _places(edge, keys), shared=False)


def lock_rekeyed(db: Database, source: Source) -> None:
    """Do the same for hosts in ``source`` that are about to get other keys, whichever."""
    for edge in db.statements.edges_without_foreign_key:
        if edge.host.source is source and not edge.has_foreign_key:
            _lock(db, edge, range(_LOCKS_PER_EDGE), shared=False)


def _lock(db: Database, edge: Edge, places: Iterable[int], *, shared: bool) -> None:
    names = [f"host of {edge.name} {place}" for place in places]
    if names and db.dialect.has_row_locks:
        db.require_latest_rows(edge.member, f"{edge.name}: without a foreign key, either side may come first")
        lock_names(db, edge.member, names, shared=shared)


def _places(edge: Edge, keys: Iterable[Key]) -> Sequence[int]:
    known = all(_is_textual(column) for column in edge.host_key)
    return [_place(key) if known else 0 for key in keys if None not in key]


def _is_textual(column: Column[Any]) -> bool:
    """Whether values that the database takes for equal are the same text, but for what :func:`_place` leaves out."""
    return isinstance(column.type, (Integer, Uuid, String)) and not isinstance(column.type, Enum)


def _place(key: Key) -> int:
    texts = [str(int(value)) if isinstance(value, int) else str(value) for value in key]
    return place_of("\0".join(text.casefold().replace("-", "").strip() for text in texts), _LOCKS_PER_EDGE)
