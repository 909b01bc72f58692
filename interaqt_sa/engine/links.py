"""Rows of secondary tables, which the unit of work writes without an object of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, select

from .plan import Source
from .propagation import Propagation
from .touched import Key


def find_links(
    propagation: Propagation, source: Source, columns: Sequence[Column[Any]], values: Iterable[tuple[Any, ...]]
) -> list[Key]:
    """Return the keys of link rows by their foreign keys."""
    rows = list(values)
    places = [next((i for i, c in enumerate(columns) if c is k), None) for k in source.key]
    if None not in places:
        return [tuple(row[i] for i in places if i is not None) for row in rows]
    shape = tuple((f"p{i}", c.type) for i, c in enumerate(columns))
    statement = propagation.statements.keep(
        ("links", source, tuple(columns)),
        lambda: select(*source.key).where(propagation.dialect.contains(list(columns), "ids", shape)),
    )
    return [tuple(r) for r in propagation.execute(source, statement, propagation.dialect.pack("ids", shape, rows))]
