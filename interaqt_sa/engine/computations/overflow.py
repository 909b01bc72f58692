"""Sums that are too large for their columns, on databases that store another number instead of raising an error."""

from __future__ import annotations

from math import inf
from typing import Any

from sqlalchemy import Integer

from ...errors import InvalidValueError
from ..plan import ComputedValue, Key

#: the least number beyond 64 bits; smaller ones may be returned as floats too, and are stored as integers
_OVERFLOW = 2**63
_INFINITE = frozenset({inf, -inf})


def refuse_overflow(value: ComputedValue, stored: Any, key: Key) -> None:
    """Refuse a sum that the database has stored as another number: an integer as a float, a float as infinity.

    Members that are infinite add nothing, so that an infinite sum has overflowed.

    :raises InvalidValueError: if it has.
    """
    if type(stored) is int or not value.is_additive:
        return
    if isinstance(value.column.type, Integer):
        if type(stored) is not float or abs(stored) < _OVERFLOW:
            return
        fault = f"{stored:.6g}, which is not a 64-bit integer; use Numeric for sums as large as this"
    elif stored in _INFINITE:
        fault = "larger than 1.8e308, the largest number that a float can be"
    else:
        return
    record = value.record
    raise InvalidValueError(
        f"{record}.{value.attribute} of {record}({', '.join(map(repr, key))}) would be {fault}",
        record=record,
        property=value.attribute,
    )
