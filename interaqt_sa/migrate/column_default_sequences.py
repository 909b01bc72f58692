"""Sequences of column defaults."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Sequence


def sequence_of(column: Column[Any]) -> Sequence | None:
    """Return the sequence of a column's default, client-side or server-side."""
    if isinstance(column.default, Sequence):
        return column.default
    found = getattr(getattr(column.server_default, "arg", None), "sequence", None)
    return found if isinstance(found, Sequence) else None
