"""Sequences that columns take their values from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Sequence


def sequence_of(column: Column[Any]) -> Sequence | None:
    """Return the sequence that ``column`` takes its default from, on the client's or the server's side."""
    if isinstance(column.default, Sequence):
        return column.default
    found = getattr(getattr(column.server_default, "arg", None), "sequence", None)
    return found if isinstance(found, Sequence) else None
