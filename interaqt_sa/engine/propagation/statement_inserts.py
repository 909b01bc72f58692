"""Rows inserted by a statement instead of the unit of work."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, Table

from ..database.same_row_functions import refresh_same_row
from ..plan import Key, Source
from .propagation import Propagation


def returned_columns(propagation: Propagation, source: Source, tables: Sequence[Table]) -> list[Column[Any]]:
    """Return the columns to be returned for rows inserted into ``tables``: their key, and the keys of their hosts.

    :param tables: one table, or all tables of a class with joined inheritance.
    """
    key = source.key if source.table in tables else tuple(tables[0].primary_key.columns)
    own: dict[Column[Any], None] = dict.fromkeys(key)
    for edge in source.edges:
        own |= {c: None for c in edge.key if isinstance(c, Column) and c.table in tables}
    if propagation.has_loose_members(source):
        own |= {
            c: None
            for edge in propagation.db.statements.edges_without_foreign_key
            for c in edge.host_key
            if c.table in tables
        }
    return list(own)


def count_inserted(
    propagation: Propagation,
    source: Source,
    tables: Sequence[Table],
    columns: Sequence[Column[Any]],
    returned: Sequence[tuple[Any, ...]],
) -> list[Key]:
    """Record the contributions of inserted rows and compute their same-row values; return their keys.

    :param columns: at least :func:`returned_columns`.
    :param returned: the values of ``columns``, row by row.
    """
    if not returned:
        return []
    places = {column: i for i, column in enumerate(columns)}
    # in a subclass table of joined inheritance the key is that of the base row
    key = source.key if all(c in places for c in source.key) else tuple(tables[0].primary_key.columns)
    keys = _picked(returned, [places[c] for c in key])
    for edge in source.edges:
        if not set(tables) & set(edge.tables):
            continue  # the base row existed before, and has contributed
        hosts = [c for c in edge.key if isinstance(c, Column)]
        known = all(c in places for c in hosts)
        propagation.new_rows(edge, keys, set(_picked(returned, [places[c] for c in hosts])) if known else None)
    if propagation.has_loose_members(source):
        rows = (dict(zip(columns, row, strict=True)) for row in returned)
        propagation.new_hosts(source, dict(zip(keys, rows, strict=True)))
    if source.same_row:
        refresh_same_row(propagation.db, source, keys)
    return keys


def _picked(rows: Sequence[tuple[Any, ...]], places: Sequence[int]) -> list[Key]:
    return list(zip(*(map(itemgetter(place), rows) for place in places), strict=True))
