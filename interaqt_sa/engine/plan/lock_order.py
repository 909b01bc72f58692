"""Assign each table its rank in the lock order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import MetaData, Table

from .plan import Plan
from .plan_nodes import Hop
from .watched_tables import Sources


def assign_ranks(metadata: MetaData, sources: Sources, plan: Plan) -> None:
    """Assign the rank of every source: a table before those that its rows contribute or refer to, dictionaries last.

    Rows that contributions read come before the hosts of these contributions, unless they are read through the same
    host. Contributions take precedence over foreign keys; cycles are broken in the order of names. Tables that no
    computation depends on come before all others, parents first: the unit of work writes them in this order, and may
    keep it in a flush that writes nothing else.
    """
    references = _by_foreign_keys(metadata)
    plan.heights = _heights(references)
    heights = _heights((*_by_contributions(plan), *references))
    dictionaries = {host.source.table for host in plan.hosts.values() if host.constant is not None}
    watched = {source.table for source in sources.distinct()}
    ordered = sorted(watched, key=lambda t: (t in dictionaries, -heights.get(t, 1), t.fullname))
    rest = _parents_first({table for table in metadata.tables.values() if table not in watched}, references)
    plan.places.update((table, place) for place, table in enumerate((*rest, *ordered)))
    for source in sources.distinct():
        source.rank = plan.places[source.table]


def _parents_first(tables: set[Table], references: Iterable[tuple[Table, Table]]) -> list[Table]:
    """Sort by foreign keys, then by name, so that the order does not depend on the order of imports."""
    heights = _heights(pair for pair in references if tables.issuperset(pair))
    return sorted(tables, key=lambda table: (heights.get(table, 1), table.fullname))


def _heights(pairs: Iterable[tuple[Table, Table]]) -> dict[Table, int]:
    """Return the length of the longest chain of tables from each table on; it is greater for the lower of a pair.

    :param pairs: lower and higher table; a pair that would close a cycle is dropped.
    """
    above: dict[Table, set[Table]] = {}
    for lower, higher in pairs:
        if lower not in _reachable(above, higher):
            above.setdefault(lower, set()).add(higher)
    return _longest_ways(above)


def _longest_ways(above: Mapping[Table, set[Table]]) -> dict[Table, int]:
    heights: dict[Table, int] = {}
    waiting = list(above)
    while waiting:
        table = waiting[-1]
        unknown = [higher for higher in above.get(table, ()) if higher not in heights]
        if unknown:
            waiting += unknown
            continue
        heights[table] = 1 + max((heights[higher] for higher in above.get(table, ())), default=0)
        waiting.pop()
    return heights


def _by_contributions(plan: Plan) -> list[tuple[Table, Table]]:
    """Return pairs of tables, the lower one first; strict pairs precede those that may be dropped."""
    members: set[tuple[Table, Table]] = set()
    paths: set[tuple[Table, Table]] = set()
    reads: set[tuple[Table, Table]] = set()
    for edge in [edge for host in plan.hosts.values() for edge in host.edges]:
        table, member = edge.host.source.table, edge.member.table
        members.add((member, table))
        for hop in edge.hops:
            paths.add((hop.parent.source.table if hop.parent is not None else member, hop.source.table))
            if table not in _tables_before(hop):
                reads.add((hop.source.table, table))
    return [pair for pairs in (members, paths, reads) for pair in sorted(pairs, key=_names) if pair[0] is not pair[1]]


def _tables_before(hop: Hop) -> set[Table]:
    found, step = {hop.source.table}, hop.parent
    while step is not None:
        found.add(step.source.table)
        step = step.parent
    return found


def _by_foreign_keys(metadata: MetaData) -> list[tuple[Table, Table]]:
    pairs = {
        (table, fk.column.table) for table in metadata.tables.values() for fk in table.foreign_keys if _resolves(fk)
    }
    return sorted((pair for pair in pairs if pair[0] is not pair[1]), key=_names)


def _names(pair: tuple[Table, Table]) -> tuple[str, str]:
    return pair[0].fullname, pair[1].fullname


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
