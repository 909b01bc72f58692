"""Rows that SQLite deletes for ``INSERT OR REPLACE``, and for constraints declared with REPLACE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table

from ...dialects.unique_key_options import SQLITE, conflict_resolution
from ...errors import UnmanagedWriteError
from ..plan import Key, Plan, Source
from ..propagation.propagation import Propagation
from .conflict_targets import ConflictTarget, Values, unique_keys

#: comments are put before statements to identify them in logs
_COMMENT = re.compile(r"\s*/\*((?!\*/).)*\*/\s*", re.DOTALL)


def may_replace(statement: Any, table: Table, plan: Plan) -> bool:
    """Whether a statement that writes ``table`` may delete rows of it on SQLite."""
    if table in plan.replacing:
        return True
    prefixes = getattr(statement, "_prefixes", None)
    if not prefixes:
        return False
    return any(_COMMENT.fullmatch(str(getattr(clause, "text", ""))) is None for clause, _ in prefixes)


def replacing_targets(statement: Any, table: Table, plan: Plan) -> Sequence[ConflictTarget]:
    """Return the unique keys of a table on SQLite for which a statement deletes conflicting rows.

    :raises UnmanagedWriteError: if some rows of the statement would remain written after a conflict.
    """
    resolution = conflict_resolution(statement)
    if resolution == "FAIL":
        raise UnmanagedWriteError(
            f"OR FAIL on {table.name!r} would keep the rows written before a conflict although the statement fails, so "
            "that computed values would not be updated; leave it out, and the whole statement is rolled back",
            table=table.fullname,
        )
    if resolution is not None:  # it overrides the declared resolution
        return tuple(unique_keys(table, SQLITE)) if resolution == "REPLACE" else ()
    return tuple(ConflictTarget(table, columns) for columns in plan.replacing.get(table, ()))


def find_replaced(
    propagation: Propagation, source: Source, targets: Iterable[ConflictTarget], rows: Sequence[Values]
) -> list[Key]:
    """Return the rows that conflict with new ones.

    :param rows: the values of the new rows, by column.
    :raises UnmanagedWriteError: if a needed value is unknown.
    """
    found: dict[Key, None] = {}
    key = source.key
    for target in targets:
        keys = {n: values for n, row in enumerate(rows) if not target.is_free(values := target.key_of(row))}
        if keys:
            statement = target.find(propagation.db.dialect, key, widely=False)
            parameters = target.packed(propagation.db.dialect, keys)
            found |= dict.fromkeys(tuple(row)[1:] for row in propagation.db.execute(source, statement, parameters))
    return list(found)


def find_displaced(
    propagation: Propagation, source: Source, targets: Iterable[ConflictTarget], rows: Sequence[Values]
) -> list[Key]:
    """Return the rows that conflict with updated ones.

    :param rows: the new values, by column.
    :raises UnmanagedWriteError: if a part of a unique key is unknown.
    """
    targets = tuple(targets)
    for target in targets:
        for row in rows:
            missing = [column.name for column in target.columns if column not in row]
            if missing:
                raise UnmanagedWriteError(
                    f"this update of {source.table.name!r} may replace rows that are not known in advance: also give a "
                    f"value for {', '.join(missing)}, or delete those rows first",
                    table=source.table.fullname,
                )
    return find_replaced(propagation, source, targets, rows)


def rows_by_column(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Values]:
    """Return parameter sets of the unit of work by column."""
    return [{table.c[name]: value for name, value in row.items() if name in table.c} for row in rows]
