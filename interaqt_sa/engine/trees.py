"""Rows that contribute to rows of their own table, level by level: trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Executable, select, tuple_

from ..errors import ComputationError
from .advisory import lock_names

if TYPE_CHECKING:
    from .plan import Edge
    from .propagation import Propagation
    from .touched import Key


def lock_structure(propagation: Propagation, edge: Edge) -> None:
    """Let one transaction at a time move rows within the tree of ``edge``.

    Two moves, each of which leaves a tree, can make a cycle together; neither sees the other's.
    """
    lock_names(propagation, edge.driver, [f"tree {edge.driver.table.fullname}"])


def refuse_cycles(propagation: Propagation, edge: Edge, moved: Sequence[Key]) -> None:
    """Refuse a move below one's own descendant: its values would follow from themselves.

    :raises ComputationError: with the keys of rows on a cycle.
    """
    table = edge.driver.table
    host_key = [table.c[c.key] for c in edge.host_key]

    def make() -> Executable:
        start = select(*table.primary_key.columns, *edge.key)
        start = start.where(propagation.dialect.contains(edge.driver_key, "ids", edge.driver.key_shape))
        width = len(table.primary_key.columns)
        upwards = start.cte("upwards", recursive=True)
        above = table.alias("above")
        keys = [above.c[c.key] for c in host_key]
        reached = list(upwards.c)[width:]
        step = select(*list(upwards.c)[:width], *(above.c[str(getattr(k, "key", k))] for k in edge.key)).where(
            *(k == r for k, r in zip(keys, reached, strict=True))
        )
        # UNION, not UNION ALL: on a cycle nothing new is found, and the search ends
        upwards = upwards.union(step)
        origin = list(upwards.c)[:width]
        return (
            select(*origin)
            .join_from(upwards, table, tuple_(*table.primary_key.columns) == tuple_(*origin))
            .where(*(h == r for h, r in zip(host_key, list(upwards.c)[width:], strict=True)))
        )

    statement = propagation.statements.keep(("cycles", edge), make)
    packed = propagation.dialect.pack("ids", edge.driver.key_shape, moved)
    found = [tuple(row) for row in propagation.execute(edge.driver, statement, packed)]
    if found:
        keys = ", ".join(str(key[0] if len(key) == 1 else key) for key in found)
        raise ComputationError(
            f"{edge.name}: {table.name} {keys} would become its own ancestor, and its values follow from themselves",
            record=edge.host.mapper.class_.__name__,
            keys=found,
        )
