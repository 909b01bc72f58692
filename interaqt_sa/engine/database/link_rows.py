"""Rows of secondary tables, which the unit of work writes without a mapped object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, func, select

from ...errors import ComputationError
from ..plan import Edge, Source

if TYPE_CHECKING:
    from ..plan import Key
    from .database import Database


def find_links(
    db: Database, source: Source, columns: Sequence[Column[Any]], values: Iterable[tuple[Any, ...]]
) -> list[Key]:
    """Return the keys of link rows by their foreign keys."""
    rows = list(values)
    places = [next((i for i, c in enumerate(columns) if c is k), None) for k in source.key]
    if None not in places:
        return [tuple(row[i] for i in places if i is not None) for row in rows]
    shape = tuple((f"p{i}", c.type) for i, c in enumerate(columns))
    statement = db.statements.cached(
        ("links", source, tuple(columns)),
        lambda: select(*source.key).where(db.dialect.contains(list(columns), "ids", shape)),
    )
    return [tuple(r) for r in db.execute(source, statement, db.dialect.pack("ids", shape, rows))]


def find_repeated(db: Database, edge: Edge, new: Mapping[Key, int]) -> list[Key]:
    """Return those of the ``new`` links of a table without a unique key that existed already.

    :param new: the number of inserted rows of each link.
    :raises ComputationError: if there are any, and members do not refer to the primary key of their host.
    """
    source = edge.member
    statement = db.statements.cached(
        ("repeated", source),
        lambda: (
            select(*source.key, func.count())
            .where(db.dialect.contains(list(source.key), "ids", source.key_shape))
            .group_by(*source.key)
            .having(func.count() > 1)
        ),
    )
    packed = db.dialect.pack("ids", source.key_shape, list(new))
    rows = [tuple(row) for row in db.execute(source, statement, packed)]
    found = [row[:-1] for row in rows if row[-1] > new.get(row[:-1], 0)]
    if found and not (edge.refers_by_primary_key and set(edge.key) <= set(source.key)):
        raise ComputationError(
            f"{edge.name}: table {source.table.name!r} has no primary key, and its row {found[0]} exists already; "
            "add a primary key",
            record=edge.host.mapper.class_.__name__,
            keys=found,
        )
    return found
