"""Checks of values against the types of their columns, before any SQL.

Drivers differ in the values that they accept, and fail with errors of their own in the middle of a transaction. Values
that the database would not store correctly are refused here, with the name of the column.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Time,
    Uuid,
)
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlalchemy.util import method_is_overridden

from ..definitions.short_repr import shorten
from ..dialects import dialect_class
from ..dialects.native_type_value_checks import other_check
from ..errors import InvalidValueError
from .enum_values import enum_refusal
from .key_coercion import NoKeyError, key_value

#: Levels of nesting of JSON that all steps of a write support.
MAX_DEPTH = 460
#: Python's default limit for the conversion of integers from and to text.
_MAX_DIGITS = 4300
#: more than any integer type has
_INTEGER_DIGITS = 20
_LARGEST_REAL = 3.5e38
#: Replaces integers that are outside the range of all integer columns.
_NO_INTEGER = 2**64


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_CONTAINERS = (dict, list, tuple, Mapping)
_NO_TEXTS: tuple[Any, ...] = (
    *(ARRAY, Boolean, Date, DateTime, Enum, Float, Integer),
    *(Interval, JSON, LargeBinary, Numeric, Time, Uuid),
)
#: types that skip the isinstance() check for containers, which is slow
_PLAIN = frozenset({str, int, float, bool, NoneType})


class _Refusal(ValueError):
    """The fault of a value."""


def checked_value(
    column: ColumnElement[Any], value: Any, dialect: Dialect, *, record: str, name: str, code: str = "INVALID_VALUE"
) -> Any:
    """Return ``value`` as ``column`` accepts it: unchanged, or as an equal value of the column's type.

    SQL expressions are not checked.

    :raises InvalidValueError: if the column cannot store it.
    """
    if value is None or _is(value, ColumnElement) or hasattr(value, "__clause_element__"):
        return value
    try:
        return _checked(column.type, value, dialect)
    except _Refusal as refusal:
        raise InvalidValueError(
            f"{record}.{name} is {column.type!r} and cannot be {shorten(value)}: {refusal}",
            record=record,
            property=name,
            code=code,
        ) from refusal.__cause__


def require_operator(column: Any, operator: str, dialect: Dialect, *, record: str, name: str) -> None:
    """Check that a column can be compared by an operator in the database.

    :param operator: an operator of a match, or ``"order"``.
    :raises InvalidValueError: if it cannot.
    """
    type_: TypeEngine[Any] = column.type
    fault = dialect_class(dialect).comparison_fault(type_, operator, dialect)
    if operator == "like" and isinstance(found := _undecorated(type_, dialect), _NO_TEXTS):
        advice = "; give the values that are meant: ('in', […])" if isinstance(found, Enum) else ""
        fault = f"'like' compares texts{advice}"
    if fault is not None:
        what = "cannot order records" if operator == "order" else "cannot be compared"
        raise _invalid(record, name, f"{record}.{name} is {type_!r} and {what}: {fault}")


def _undecorated(type_: Any, dialect: Dialect) -> Any:
    found: Any = type_._variant_mapping.get(dialect.name, type_)  # pyright: ignore[reportPrivateUsage]
    return _undecorated(found.load_dialect_impl(dialect), dialect) if isinstance(found, TypeDecorator) else found


def checked_operand(column: Any, operator: str, operand: Any, dialect: Dialect, *, record: str, name: str) -> Any:
    """Return ``operand`` in a form that can be compared with ``column``.

    Text in place of a key, and integers outside the column's range, are accepted by equality tests and match no row.

    :raises InvalidValueError: if it cannot be compared with values of the column.
    """
    if operand is None or operator in ("is null", "is not null", "not"):
        return operand
    if operator in ("in", "not in", "between"):
        one = "=" if operator != "between" else ">"
        return tuple(checked_operand(column, one, part, dialect, record=record, name=name) for part in operand)
    type_: TypeEngine[Any] = column.type
    if operator == "contains":
        items: Any = getattr(type_, "item_type", None)
        type_ = JSON() if items is None else items
    elif operator == "like":
        type_ = String()
        if isinstance(operand, str) and (fault := dialect_class(dialect).pattern_fault(operand)) is not None:
            raise _invalid(record, name, f"{record}.{name} cannot be compared with {shorten(operand)}: {fault}")
    elif isinstance(type_, String) and not isinstance(type_, Enum):
        type_ = String()  # a text that is too long for the column is unequal to all its values
    elif isinstance(type_, Integer | Uuid) and isinstance(operand, str):
        if operator in ("=", "!="):
            return operand
        try:
            operand = key_value(column, operand)
        except NoKeyError as error:
            raise _invalid(
                record, name, f"{record}.{name} cannot be compared with {shorten(operand)}: {error}"
            ) from error
    if isinstance(type_, Integer) and type(operand) is int and operator in ("=", "!="):
        return operand if -(2**31) <= operand < 2**31 or fits_integer(type_, operand, dialect) else _NO_INTEGER
    return checked_value(Column(name, type_), operand, dialect, record=record, name=name)


def _invalid(record: str, name: str, message: str) -> InvalidValueError:
    return InvalidValueError(message, record=record, property=name, code="INVALID_VALUE")


def may_be_stored(column: Any, value: Any, dialect: Dialect) -> bool:
    """Whether ``column`` can store ``value``; a key that cannot be stored matches no row."""
    try:
        _checked(column.type, value, dialect)
    except _Refusal:
        return False
    return True


def fits_integer(type_: TypeEngine[Any], value: int, dialect: Dialect) -> bool:
    """Whether an integer column can hold ``value``."""
    try:
        _integer(type_._variant_mapping.get(dialect.name, type_), value, dialect)  # pyright: ignore[reportPrivateUsage]
    except _Refusal:
        return False
    return True


def _checked(type_: Any, value: Any, dialect: Dialect) -> Any:
    found: Any = type_._variant_mapping.get(dialect.name, type_)  # pyright: ignore[reportPrivateUsage]
    if isinstance(found, TypeDecorator) and not isinstance(found, Interval):
        return _decorated(found, value, dialect)
    for kind, check in _CHECKS:
        if isinstance(found, kind):
            return check(found, value, dialect)
    if isinstance(value, str):
        _check_text(value, dialect)
    refusal = other_check(found)(found, value, dialect)
    if refusal is not None:
        raise _Refusal(shorten(refusal))
    return value


def _decorated(type_: Any, value: Any, dialect: Dialect) -> Any:
    """Check the result of a type decorator by the type below it."""
    if method_is_overridden(type_, TypeDecorator.process_bind_param):
        stored = _attempt(lambda: type_.process_bind_param(value, dialect))
        if stored is not None:
            _checked(type_.load_dialect_impl(dialect), stored, dialect)
        return value
    if method_is_overridden(type_, TypeDecorator.bind_processor):  # such as that of PickleType
        process = type_.bind_processor(dialect)
        _attempt(lambda: process and process(value))
        return value
    return _checked(type_.load_dialect_impl(dialect), value, dialect)


def _is(value: Any, *kinds: Any) -> bool:
    return isinstance(value, kinds)


def _attempt(convert: Callable[[], Any]) -> Any:
    try:
        return convert()
    except Exception as error:
        raise _Refusal(f"{type(error).__name__}: {shorten(str(error))}") from error


def _text(type_: Any, value: Any, dialect: Dialect) -> Any:
    if not isinstance(value, str):
        raise _Refusal("give a str")
    _check_text(value, dialect)
    if type_.length is not None and dialect_class(dialect).checks_lengths and len(value.rstrip(" ")) > type_.length:
        raise _Refusal(f"it has more than {type_.length} characters")
    return value


def _check_text(value: str, dialect: Dialect) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _Refusal("it has half a surrogate pair, which is not a character") from error
    if "\0" in value and not dialect_class(dialect).stores_nul:
        raise _Refusal("the database stores no NUL characters")


def _integer(type_: Any, value: Any, dialect: Dialect) -> Any:
    if isinstance(value, bool):
        raise _Refusal("give an int, not a bool")
    if isinstance(value, float | Decimal) and _is_integral(Decimal(value)):
        value = int(value)
    if not isinstance(value, int):
        raise _Refusal("give an int")
    bits = dialect_class(dialect).integer_bits(type_)
    if not -(2**bits) <= value < 2**bits:
        raise _Refusal(f"it has more than {bits + 1} bits")
    return value


def _is_integral(value: Decimal) -> bool:
    # the length first, because int() would write out all digits of 1e999999999
    return value.is_finite() and value.adjusted() < _INTEGER_DIGITS and value == int(value)


def _number(type_: Any, value: Any, dialect: Dialect) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _Refusal("give a number")
    if isinstance(value, int) and value.bit_length() > _MAX_DIGITS * 3.3:
        raise _Refusal(f"it has more than {_MAX_DIGITS} digits")
    stores_decimals = dialect_class(dialect).stores_decimals
    is_float = isinstance(type_, Float) or not stores_decimals
    if isinstance(value, Decimal) and value.is_snan():
        raise _Refusal("it is a signalling NaN")
    as_float = _attempt(lambda: float(value)) if is_float else 0.0
    if math.isnan(value) and not stores_decimals:
        raise _Refusal("the database would store NULL in place of NaN")
    if not math.isfinite(value):
        return value
    if is_float and math.isinf(as_float):
        raise _Refusal("it is too large for a float")
    if not stores_decimals:
        return value
    if isinstance(type_, Float):
        if type_.precision is not None and type_.precision <= 24 and abs(as_float) > _LARGEST_REAL:
            raise _Refusal("it is too large for 32 bits")
    elif type_.precision is not None:
        whole = type_.precision - (type_.scale or 0)
        if abs(Decimal(value)) >= Decimal(10) ** whole:
            raise _Refusal(f"it has more than {whole} digits before the point")
    return value


def _boolean(type_: Any, value: Any, dialect: Dialect) -> Any:
    if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)):
        return bool(value)
    raise _Refusal("give a bool")


def _of(*kinds: type[Any]) -> Callable[[Any, Any, Dialect], Any]:
    names = " or ".join(kind.__name__ for kind in kinds)

    def check(type_: Any, value: Any, dialect: Dialect) -> Any:
        if not isinstance(value, kinds):
            raise _Refusal(f"give a {names}")
        return value

    return check


def _moment(type_: Any, value: Any, dialect: Dialect) -> Any:
    if not isinstance(value, date):
        raise _Refusal("give a datetime")
    if dialect.driver == "asyncpg" and isinstance(value, datetime) and value.tzinfo and not type_.timezone:
        raise _Refusal("the column has no time zone: give a datetime without one")
    return value


def _uuid(type_: Any, value: Any, dialect: Dialect) -> Any:
    if isinstance(value, UUID):
        return value if type_.as_uuid else str(value)
    if not isinstance(value, str):
        raise _Refusal("give a UUID")
    found = _attempt(lambda: UUID(value))
    return found if type_.as_uuid else value


def _enum(type_: Any, value: Any, dialect: Dialect) -> Any:
    if (refusal := enum_refusal(type_, value, dialect)) is not None:
        raise _Refusal(refusal)
    return value


def _json(type_: Any, value: Any, dialect: Dialect) -> Any:
    if value is JSON.NULL:
        return value
    _check_depth(value)
    custom = getattr(dialect, "_json_serializer", None)
    if custom is not None:
        text = _attempt(lambda: custom(value))
        if not isinstance(text, str):
            return value
    else:
        text = _attempt(lambda: _ENCODER.encode(value))
        if not text.isascii():
            _attempt(text.encode)
    if not dialect_class(dialect).stores_nul and "\\u0000" in text and "\0" in str(_texts(value)):
        raise _Refusal("the database stores no NUL characters")
    return value


def _texts(value: Any) -> str:
    """Return all strings in a JSON value, concatenated."""
    found: list[str] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, Mapping):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple):
            waiting += part
    return "".join(found)


def _check_depth(value: Any) -> None:
    # iterative, because the remaining recursion depth depends on the caller
    waiting: list[tuple[Any, int]] = [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        parts: Any
        if _is(part, Mapping):
            parts = part.values()
        elif _is(part, list, tuple):
            parts = part
        else:
            continue
        if depth > MAX_DEPTH:
            raise _Refusal(f"it is nested deeper than {MAX_DEPTH} levels")
        waiting += [(inner, depth + 1) for inner in parts if type(inner) not in _PLAIN and _is(inner, *_CONTAINERS)]


def _array(type_: Any, value: Any, dialect: Dialect) -> Any:
    if not _is(value, list, tuple):
        raise _Refusal("give a list")
    if (type_.dimensions or 1) > 1:
        return value
    return [item if item is None else _checked(type_.item_type, item, dialect) for item in value]


_CHECKS: tuple[tuple[Any, Callable[[Any, Any, Dialect], Any]], ...] = (
    (Enum, _enum),
    (String, _text),
    (Integer, _integer),
    ((Numeric, Float), _number),
    (Boolean, _boolean),
    (Uuid, _uuid),
    (JSON, _json),
    (ARRAY, _array),
    (DateTime, _moment),
    (Date, _of(date)),
    (Time, _of(time)),
    (Interval, _of(timedelta)),
    (LargeBinary, _of(bytes, bytearray, memoryview)),
)
