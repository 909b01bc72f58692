"""Several levels of hosts in one statement.

Where each host has one host above it, an UPDATE can go on by itself: the next one stands beside it in the statement and
takes its changes from the RETURNING below. All of them see one snapshot. A host that has become visible only while the
statement waited for a lock is therefore missed; its columns come back as NULL, and the ordinary next level serves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import CTE, ColumnElement, FromClause, Select, and_, literal_column, or_, select
from sqlalchemy.sql.dml import Update

from ..dialects.base import named

if TYPE_CHECKING:
    from .plan import Edge, Host
    from .statements import Statements


def levels_above(statements: Statements, host: Host) -> tuple[Edge, ...]:
    """Return the edges, from ``host`` upwards, over which one statement may go on by itself."""
    found: list[Edge] = []
    seen = {host.table}
    # what computes from the events of a level comes before the next
    while not host.source.same_row and statements.plan.reactions.keys().isdisjoint(host.mapper.tables):
        parents = statements.hosts.parents(host)
        if len(parents) != 1:
            break
        (edge,) = parents
        host = edge.host
        discovers = any(statements.hosts.read_before(host, frozenset(parents), fused=True))
        if host.table in seen or discovers or tuple(edge.host_key) != tuple(host.key):
            break
        found.append(edge)
        seen.add(host.table)
    return tuple(found)


def fuse(statements: Statements, first: Update, host: Host, edges: Sequence[Edge], old: Sequence[bool]) -> Select[Any]:
    """Return a statement that goes on from the UPDATE of ``host`` over ``edges``.

    :param old: for each level, whether it returns values before the change.

    Returns what each UPDATE alone would, side by side.
    """
    below = first.cte("level_0")
    columns: list[ColumnElement[Any]] = list(below.c)
    joined: FromClause = below
    for n, edge in enumerate(edges, 1):
        key, changes = _changes(statements, below, host, edge, old[n - 1], named(f"changes_{n}"))
        host = edge.host
        update = statements.hosts.update_hosts(host, tuple(host.key), changes, None, old[n], fused=True)
        level = update.cte(f"level_{n}")
        level_key = list(level.c)[: len(host.key)]
        joined = joined.outerjoin(level, and_(*(k == m for k, m in zip(key, level_key, strict=True))))
        columns += level.c
        below = level
    return select(*(column.label(f"c{i}") for i, column in enumerate(columns))).select_from(joined)


def _changes(
    statements: Statements, below: CTE, host: Host, edge: Edge, old: bool, name: str
) -> tuple[Sequence[ColumnElement[Any]], FromClause]:
    """Return the key over ``edge`` in what ``below`` returned, and the changes by that key."""
    columns = list(below.c)
    (contribution,) = statements.hosts.returned(host, old, fused=True).contributions
    key, new, before = columns[contribution.key], columns[contribution.new], columns[contribution.old]
    sums = [statements.dialect.total(column, n - b) for column, n, b in zip(edge.vector, new, before, strict=True)]
    changes = select(
        *(k.label(f"k{i}") for i, k in enumerate(key)),
        *(total.label(f"d{i}") for i, total in enumerate(sums)),
    ).group_by(*key)
    return key, changes.having(or_(*(total != literal_column("0") for total in sums))).subquery(name)
