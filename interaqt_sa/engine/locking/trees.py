"""Trees: rows that contribute to rows of their own table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Executable, FromClause, and_, select

from ...errors import ComputationError
from ..database.advisory_locks import lock_names

if TYPE_CHECKING:
    from ..database.database import Database
    from ..plan import Edge, Key


def lock_structure(db: Database, edge: Edge) -> None:
    """Take the lock that lets only one transaction at a time move rows within the tree of ``edge``.

    Two concurrent moves, each of which leaves a tree, can create a cycle together, because neither sees the other.
    """
    lock_names(db, edge.member, [f"tree {edge.member.table.fullname}"])


def refuse_cycles(db: Database, edge: Edge, moved: Sequence[Key]) -> None:
    """Check that no row was moved below one of its descendants, where its values would depend on themselves.

    :raises ComputationError: with the keys of the rows on a cycle.
    """
    cycle = _cycle(ancestors(db, edge, moved))
    found = [key for key in moved if key in cycle] or cycle
    if found:
        keys = ", ".join(str(key[0] if len(key) == 1 else key) for key in found)
        raise ComputationError(
            f"{edge.name}: {edge.member.table.name} {keys} would become its own ancestor, and its values would depend "
            "on themselves",
            record=edge.host.mapper.class_.__name__,
            keys=found,
        )


def ancestors(db: Database, edge: Edge, keys: Sequence[Key]) -> dict[Key, list[Key]]:
    """Return the rows above the rows ``keys``: for each row, these included, the rows that it contributes to.

    :param edge: an edge within one table; another edge is followed for one step only.
    """
    width = len(edge.member.key)

    def make() -> Executable:
        # the rows by their key with the key of their host, and the hosts by the columns that rows refer to
        own = [c.label(f"own_{n}") for n, c in enumerate(edge.member_key)]
        named = [c.label(f"named_{n}") for n, c in enumerate(edge.key)]
        row = select(*own, *named).select_from(edge.table_join).subquery("row")
        keys = [c.label(f"above_{n}") for n, c in enumerate(edge.host.key)]
        names = [c.label(f"name_{n}") for n, c in enumerate(edge.host_key)]
        host = select(*keys, *names).select_from(edge.host.table).subquery("host")
        on = and_(*(a == b for a, b in zip(list(host.c)[len(keys) :], list(row.c)[width:], strict=True)))

        def pairs(table: FromClause) -> Any:
            return select(*list(row.c)[:width], *list(host.c)[: len(keys)]).select_from(table.join(host, on))

        start = pairs(row).where(db.dialect.contains(list(row.c)[:width], "ids", edge.member.key_shape))
        if edge.member is not edge.host.source:
            return select(*start.subquery("above").c)
        upwards = start.cte("upwards", recursive=True)
        again = and_(*(a == b for a, b in zip(list(row.c)[:width], list(upwards.c)[width:], strict=True)))
        # UNION, not UNION ALL: each row is reached once, over any path, and the search ends on a cycle
        upwards = upwards.union(pairs(upwards.join(row, again)))
        return select(*upwards.c)

    statement = db.statements.cached(("ancestors", edge), make)
    packed = db.dialect.pack("ids", edge.member.key_shape, keys)
    found: dict[Key, list[Key]] = {}
    for pair in db.execute(edge.member, statement, packed):
        found.setdefault(tuple(pair[:width]), []).append(tuple(pair[width:]))
    return found


def from_below(above: Mapping[Key, Sequence[Key]]) -> list[Key]:
    """Sort rows so that each comes after all rows below it; rows on or above a cycle are left out."""
    below = Counter(host for hosts in above.values() for host in hosts)
    found = [key for key in above if not below[key]]
    for key in found:  # the list grows
        for host in above.get(key, ()):
            below[host] -= 1
            if not below[host]:
                found.append(host)
    return found


def _cycle(above: Mapping[Key, Sequence[Key]]) -> list[Key]:
    """Return the keys of the rows of a cycle, or an empty list."""
    sorted_ = set(from_below(above))
    below = {host: key for key, hosts in above.items() if key not in sorted_ for host in hosts}
    way: dict[Key, int] = {}
    key = next(iter(below), None)
    while key is not None and key not in way:  # each of these rows has one below it, so the path down ends in a cycle
        way[key] = len(way)
        key = below[key]
    return [] if key is None else list(way)[way[key] :]
