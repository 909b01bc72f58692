"""Foreign-key cycles between the tables of relations."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import MetaData

from .relations import ForeignKeyPlan


def break_cycles(metadata: MetaData, held: Iterable[ForeignKeyPlan]) -> None:
    """Mark the relations whose foreign keys close a foreign-key cycle.

    Rows of such tables cannot all be inserted after the rows they refer to, so the marked keys are written afterwards,
    by an UPDATE. Which key of a cycle is marked depends on the names of relations, not on the order of definitions.
    """
    edges: dict[str, set[str]] = {}
    for table in metadata.tables.values():
        for key in table.foreign_keys:
            edges.setdefault(table.fullname, set()).add(key.target_fullname.rpartition(".")[0])
    for plan in sorted(held, key=lambda plan: (plan.column_attribute is not None, plan.relation.name)):
        host, other = (end.key_path.rpartition(".")[0] for end in (plan.host, plan.other))
        if host == other:
            continue  # the unit of work sorts the rows of a self-referential table
        if _leads(edges, other, host):
            plan.closes_cycle = True
            if plan.column_attribute is not None:
                for key in plan.column.foreign_keys:
                    key.use_alter = True
        else:
            edges.setdefault(host, set()).add(other)


def _leads(edges: dict[str, set[str]], start: str, end: str) -> bool:
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        table = ahead.pop()
        if table == end:
            return True
        if table not in seen:
            seen.add(table)
            ahead += edges.get(table, ())
    return False
