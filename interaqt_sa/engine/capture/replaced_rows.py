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

#: as some put before statements to find them again in logs
_COMMENT = re.compile(r"\s*/\*((?!\*/).)*\*/\s*", re.DOTALL)


def may_replace(statement: Any, table: Table, plan: Plan) -> bool:
    """Whether a statement that writes ``table`` may delete rows of it on SQLite."""
    prefixes = [str(getattr(clause, "text", "")) for clause, _ in getattr(statement, "_prefixes", ())]
    return table in plan.replacing or not all(_COMMENT.fullmatch(prefix) for prefix in prefixes)


def replacing_targets(statement: Any, table: Table, plan: Plan) -> Sequence[ConflictTarget]:
    """Return the unique keys of a table on SQLite by which a statement deletes rows that stand in its way.

    :raises UnmanagedWriteError: if a conflict would leave a part of the statement's rows behind.
    """
    resolution = conflict_resolution(statement)
    if resolution == "FAIL":
        raise UnmanagedWriteError(
            f"OR FAIL on {table.name!r} would keep the rows written before a conflict although the statement fails, so "
            "that computed values could not follow them; leave it out, and the statement is undone as a whole",
            table=table.fullname,
        )
    if resolution is not None:  # it takes the place of what is declared
        return tuple(unique_keys(table, SQLITE)) if resolution == "REPLACE" else ()
    return tuple(ConflictTarget(table, columns) for columns in plan.replacing.get(table, ()))


def find_replaced(
    propagation: Propagation, source: Source, targets: Iterable[ConflictTarget], rows: Sequence[Values]
) -> list[Key]:
    """Return the rows that stand in the way of new ones.

    :param rows: what is given to the new ones, by column.
    :raises UnmanagedWriteError: if that does not say enough.
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
    """Return the rows that stand in the way of updated ones.

    :param rows: the new values, by column.
    :raises UnmanagedWriteError: if not all of a unique key is given.
    """
    targets = tuple(targets)
    for target in targets:
        for row in rows:
            missing = [column.name for column in target.columns if column not in row]
            if missing:
                raise UnmanagedWriteError(
                    f"this update of {source.table.name!r} may replace rows, and does not say which: give a value for "
                    f"{', '.join(missing)} too, or delete those rows first",
                    table=source.table.fullname,
                )
    return find_replaced(propagation, source, targets, rows)


def rows_by_column(table: Table, rows: Sequence[Mapping[str, Any]]) -> list[Values]:
    """Return parameter sets of the unit of work by column."""
    return [{table.c[name]: value for name, value in row.items() if name in table.c} for row in rows]
