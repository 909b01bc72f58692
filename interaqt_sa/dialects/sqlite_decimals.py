"""Exact decimals on SQLite: Python functions over numbers encoded by :func:`.encode_sum`.

They are registered on each connection that the engine uses, and only the engine's own statements call them: a database
file can be read and written without them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import ColumnElement, Double, func, literal_column

from .running_sum_type import ALL_DIGITS, RunningSum, decode_sum, encode_sum


def exact_decimal(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a number of any type as an exact decimal."""
    return func.iq__decimal(value, type_=RunningSum())


def exact_sum(number: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the SQL aggregate that sums exact decimals."""
    # not every driver can register aggregate functions
    return func.iq__sum(func.group_concat(number), type_=RunningSum())


def exact_add(a: ColumnElement[Any], b: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return ``a + b`` as an exact decimal."""
    return func.iq__add(a, b, type_=RunningSum())


def exact_subtract(a: ColumnElement[Any], b: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return ``a - b`` as an exact decimal."""
    return func.iq__subtract(a, b, type_=RunningSum())


def nearest_float(number: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the float nearest to an exact decimal."""
    return func.iq__float(number, type_=Double())


def nearest_rounded_float(number: ColumnElement[Any], places: int) -> ColumnElement[Any]:
    """Return the float nearest to an exact decimal after rounding, which SQLite's ``round()`` may miss."""
    return func.iq__round(number, literal_column(str(places)), type_=Double())


def add_to_float(old: ColumnElement[Any], change: ColumnElement[Any], places: int) -> ColumnElement[Any]:
    """Return the float nearest to ``old + change``, rounded to ``places`` decimal places; see :class:`LostDigits`."""
    return func.iq__add_to_float(old, change, literal_column(str(places)), type_=Double())


class LostDigits:
    """Whether sums on one connection had more digits than a float holds, so that the stored value is inexact.

    :ivar found: set by :meth:`add_to_float`; reset by the code that reads it.
    """

    def __init__(self) -> None:
        self.found = False

    def add_to_float(self, old: Any, change: Any, places: int) -> float:
        """Return the float nearest to a sum; record whether floats of its or the old sum's size are too far apart."""
        before = decode_sum(old)
        total = ALL_DIGITS.add(before, decode_sum(change))
        unit = Decimal(1).scaleb(-places)
        if Decimal(math.ulp(float(max(before.copy_abs(), total.copy_abs())))) > unit:
            self.found = True
        return float(total.quantize(unit, ROUND_HALF_UP, ALL_DIGITS))


def _decimal(value: Any) -> int | str:
    if isinstance(value, int):
        return value
    # a numeric column stores text only if it is not a number
    return encode_sum(decode_sum(value)) if isinstance(value, float) else 0


def _sum(joined: str | None) -> int | str:
    total = decode_sum(0)
    for part in str(joined or "0").split(","):
        total = ALL_DIGITS.add(total, decode_sum(part))
    return encode_sum(total)


def _add(a: Any, b: Any) -> int | str:
    return encode_sum(ALL_DIGITS.add(decode_sum(a), decode_sum(b)))


def _subtract(a: Any, b: Any) -> int | str:
    return encode_sum(ALL_DIGITS.subtract(decode_sum(a), decode_sum(b)))


def _float(number: Any) -> float:
    return float(decode_sum(number))


def _round(number: Any, places: int) -> float:
    return float(decode_sum(number).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, ALL_DIGITS))


#: name, number of arguments and function
DECIMAL_FUNCTIONS: Sequence[tuple[str, int, Callable[..., Any]]] = (
    ("iq__decimal", 1, _decimal),
    ("iq__sum", 1, _sum),
    ("iq__add", 2, _add),
    ("iq__subtract", 2, _subtract),
    ("iq__float", 1, _float),
    ("iq__round", 2, _round),
)
