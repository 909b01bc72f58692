"""SQL expressions for exact, finite numbers that are never NULL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Float, Integer, case, func, literal_column

from ...dialects.functions import exact, finite
from ...dialects.undecorated_types import stored_type


def is_number(value: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the criterion, for a CASE, that ``value`` is not NULL, NaN or infinite."""
    # for NULL it is NULL, which a CASE treats as false
    return value.is_not(None) if isinstance(stored_type(value.type), Integer) else finite(value)


def as_number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return ``value``, or 0 if it is not a number, so that one NaN cannot spoil a sum permanently."""
    if isinstance(stored_type(value.type), Integer):
        return func.coalesce(value, literal_column("0"))
    number = exact(value) if isinstance(stored_type(value.type), Float) else value
    return case((is_number(value), number), else_=literal_column("0"))
