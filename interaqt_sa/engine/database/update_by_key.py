"""UPDATE rows by key: one statement for all of them, or one for each if a type cannot be packed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table, Update, bindparam, update

from ...dialects.base import is_row, named
from ..plan.column_replacement import labelled

if TYPE_CHECKING:
    from ..plan import Key, Source
    from .database import Database
    from .pending_deltas import Row


def store_values(
    db: Database,
    source: Source,
    table: Table,
    columns: Sequence[Column[Any]],
    rows: Sequence[Row],
    *,
    fires_onupdate: bool,
) -> list[tuple[Key, Row]]:
    """Store values in rows of ``table``; return keys and stored values of the existing rows.

    :param rows: the key of a row, then its values for ``columns``.
    :param fires_onupdate: whether columns with ``onupdate=`` change too, as in an UPDATE of the application.
    """
    dialect = db.dialect
    key = source.key_in(table)
    shape = (*source.key_shape, *((f"v{i}", column.type) for i, column in enumerate(columns)))
    is_packed = all(dialect.packs(type_) for _, type_ in shape)

    def make() -> Update:
        if is_packed:
            fresh = dialect.row_set("rows", shape)
            statement = update(table).where(*(c == fresh.c[f"p{i}"] for i, c in enumerate(key)))
            given: list[Any] = [fresh.c[f"v{i}"] for i in range(len(columns))]
        else:
            statement = update(table).where(is_row(key, "rows", source.key_shape))
            given = [bindparam(named(f"rows_v{i}"), type_=column.type) for i, column in enumerate(columns)]
        # assigning a column to itself suppresses its onupdate
        stored: dict[str, Any] = {} if fires_onupdate else {c.key: c for c in table.columns if c.onupdate is not None}
        stored |= {column.key: value for column, value in zip(columns, given, strict=True)}
        return statement.values(stored).returning(*labelled([*key, *map(dialect.returned, columns)]))

    name = ("store values", table, tuple(columns), fires_onupdate)
    statement = db.statements.cached(name, make)
    groups = [rows] if is_packed else [[row] for row in rows]
    found: list[tuple[Key, Row]] = []
    for group in groups if rows else ():
        packed = dialect.pack_some("rows", shape, group, one=not is_packed)
        answer = db.execute(source, statement, packed)
        found += [(tuple(row[: len(key)]), tuple(row[len(key) :])) for row in answer]
    return found
