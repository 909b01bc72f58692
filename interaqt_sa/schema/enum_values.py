"""The values that columns of type ``Enum`` can hold."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Dialect, Enum

from ..definitions.short_repr import shorten


def enum_refusal(type_: Enum, value: Any, dialect: Dialect) -> str | None:
    """Return the values that ``type_`` has, for a message, if ``value`` is none of them.

    SQLAlchemy passes texts to the database whether or not the type has them; SQLite stores them, and the row cannot be
    read any more.
    """
    process = type_.dialect_impl(dialect).bind_processor(dialect)
    stored: Any = None
    with suppress(Exception):  # LookupError, or what a type of the application raises
        stored = value if process is None else process(value)
    if stored in type_.enums:
        return None
    members: Any = type_.enum_class or ()
    hint = next((f"; {shorten(value)} is the value of {member}" for member in members if member.value == value), "")
    return f"it has {shorten(type_.enums)}{hint}"
