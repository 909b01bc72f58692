"""Dialect options of unique keys: partial indexes, equal NULLs, conflict resolution."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Index, PrimaryKeyConstraint, Table, UniqueConstraint

POSTGRESQL, SQLITE = "postgresql", "sqlite"
_PREFIX = re.compile(r"\s*OR\s+(\w+)", re.IGNORECASE)


def index_predicate(index: Index, database: str | None = None) -> Any:
    """Return the predicate of a partial index, ``None`` if the index is not partial.

    :param database: name of the dialect; ``None``: any.
    """
    options = index.dialect_options
    found = [options[name]["where"] for name in ((POSTGRESQL, SQLITE) if database is None else (database,))]
    return next((where for where in found if where is not None), None)


def has_equal_nulls(key: UniqueConstraint | PrimaryKeyConstraint | Index) -> bool:
    """Whether a unique key treats NULLs as equal (``NULLS NOT DISTINCT``)."""
    options: Any = key.dialect_options[POSTGRESQL]
    return bool(options.get("nulls_not_distinct"))


def conflict_resolution(statement: Any) -> str | None:
    """Return the ``OR`` clause of a statement for SQLite, such as ``"REPLACE"``, or ``None``."""
    for clause, dialect in getattr(statement, "_prefixes", ()):
        found = _PREFIX.match(getattr(clause, "text", "")) if dialect in ("*", SQLITE) else None
        if found is not None:
            return found.group(1).upper()
    return None


def declared_resolutions(table: Table) -> Iterator[tuple[str, Sequence[Column[Any]]]]:
    """Yield the ``ON CONFLICT`` resolutions that a Table declares for SQLite, with the columns of their keys."""
    for constraint in table.constraints:
        if isinstance(constraint, (UniqueConstraint, PrimaryKeyConstraint)):
            columns = list(constraint.columns)
            said = [constraint.dialect_options[SQLITE]["on_conflict"]]
            if len(columns) == 1:
                kind = "unique" if isinstance(constraint, UniqueConstraint) else "primary_key"
                said.append(columns[0].dialect_options[SQLITE][f"on_conflict_{kind}"])
            yield from ((str(one).upper(), columns) for one in said if one)


def may_stop_halfway(table: Table) -> bool:
    """Whether a statement on SQLite that fails on a row of ``table`` may keep its changes to previous rows."""
    said: list[Any] = [c.dialect_options[SQLITE].get("on_conflict") for c in table.constraints]
    for column in table.columns:
        options = column.dialect_options[SQLITE]
        said += [options.get(f"on_conflict_{kind}") for kind in ("not_null", "unique", "primary_key")]
    return any(str(one or "").upper() == "FAIL" for one in said)
