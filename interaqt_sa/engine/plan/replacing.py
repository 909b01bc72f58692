"""Unique keys that are declared with ``sqlite_on_conflict="REPLACE"``: a write deletes rows that stand in its way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, PrimaryKeyConstraint, Table, UniqueConstraint


def replacing_keys(table: Table) -> Iterator[Sequence[Column[Any]]]:
    """Yield the columns of each such key of ``table``."""
    for constraint in table.constraints:
        if isinstance(constraint, (UniqueConstraint, PrimaryKeyConstraint)):
            columns = list(constraint.columns)
            said = [constraint.dialect_options["sqlite"]["on_conflict"]]
            if len(columns) == 1:
                kind = "unique" if isinstance(constraint, UniqueConstraint) else "primary_key"
                said.append(columns[0].dialect_options["sqlite"][f"on_conflict_{kind}"])
            if any(str(one or "").upper() == "REPLACE" for one in said):
                yield columns
