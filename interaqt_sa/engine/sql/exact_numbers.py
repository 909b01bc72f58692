"""Numbers as the engine adds them: exact, finite, and never NULL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Float, Integer, case, literal_column

from ...dialects.functions import exact, finite
from ...dialects.stored_types import stored_type


def is_number(value: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the criterion that ``value`` is neither NULL nor, where its type has them, NaN or an infinity."""
    present: ColumnElement[bool] = value.is_not(None)
    return present if isinstance(stored_type(value.type), Integer) else present & finite(value)


def as_number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return ``value``, or 0 where it is not a number, so that one NaN cannot spoil a sum for ever."""
    number = exact(value) if isinstance(stored_type(value.type), Float) else value
    return case((is_number(value), number), else_=literal_column("0"))
