"""The lock order: one function, so that no two transactions disagree."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import MetaData, Table

from .plan import Plan
from .sources import Sources


def assign_ranks(metadata: MetaData, sources: Sources, plan: Plan) -> None:
    """Give every source its place: a table before those that its rows contribute or refer to, dictionaries last.

    What contributions read comes before what they are added to, unless the host itself refers to it. Inside a cycle of
    tables the order is that of their names; rows of one table are locked in the order of their keys.
    """
    above: dict[Table, set[Table]] = {table: set() for table in metadata.tables.values()}
    for table in list(above):
        above[table].update(fk.column.table for fk in table.foreign_keys if _resolves(fk))
    read: dict[Table, set[Table]] = {}
    for host in plan.hosts.values():
        for edge in host.edges:
            above.setdefault(edge.driver.table, set()).add(host.source.table)
            for hop in edge.hops:
                if hop.source.table is not host.source.table:
                    above[edge.driver.table].add(hop.source.table)
                    read.setdefault(hop.source.table, set()).add(host.source.table)
    for table in sorted(read, key=lambda t: t.fullname):
        for host_table in sorted(read[table], key=lambda t: t.fullname):
            if table not in _reachable(above, host_table):
                above[table].add(host_table)
    heights: dict[Table, int] = {}

    def height(table: Table, path: tuple[Table, ...]) -> int:
        if table not in heights:
            below = [t for t in sorted(above.get(table, ()), key=lambda t: t.fullname) if t not in (*path, table)]
            heights[table] = 1 + max((height(t, (*path, table)) for t in below), default=0)
        return heights[table]

    dictionaries = {host.source.table for host in plan.hosts.values() if host.constant is not None}
    ordered = sorted(above, key=lambda t: (t in dictionaries, -height(t, ()), t.fullname))
    places = {table: place for place, table in enumerate(ordered)}
    for source in sources.distinct():
        source.rank = places[source.table]


def _reachable(above: Mapping[Table, set[Table]], start: Table) -> set[Table]:
    found, waiting = {start}, [start]
    while waiting:
        new = above.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _resolves(foreign_key: object) -> bool:
    from sqlalchemy.exc import NoReferencedColumnError, NoReferencedTableError

    try:
        foreign_key.column  # type: ignore[attr-defined]  # noqa: B018
    except (NoReferencedTableError, NoReferencedColumnError):
        return False
    return True
