"""Encoding of values in SQLite's JSON parameters.

SQLite parses floats in JSON less exactly than it stores them and truncates JSON text at a NUL, and JSON has neither
bytes nor infinities. Such a value is passed as a JSON array of its kind and its bytes in hexadecimal digits, which a
function registered on each connection decodes.
"""

from __future__ import annotations

import struct
from typing import Any

from sqlalchemy import (
    Boolean,
    Date,
    DateTime,
    Integer,
    Interval,
    Time,
    Uuid,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

#: name of the SQL function that decodes such an array
DECODE = "iq__decode"
_INTEGERS = range(-(2**63), 2**63)
#: types whose values are passed to the driver as integers, or as text without a NUL
_PLAIN = (Boolean, Date, DateTime, Integer, Interval, Time, Uuid)


def is_plain(type_: TypeEngine[Any]) -> bool:
    """Whether all values of a type have an exact form in JSON."""
    while type(type_) is not Interval and isinstance(type_, TypeDecorator):
        return False  # the result of its Python code is not known
    return isinstance(type_, _PLAIN)


def encoded(value: Any) -> Any:
    """Return a value of the driver in the form that is passed in JSON.

    :raises OverflowError: if an integer has more than 64 bits, like the driver.
    """
    match value:
        case None:
            return None
        case bool():
            return int(value)
        case int():
            if value not in _INTEGERS:
                raise OverflowError("Python int too large to convert to SQLite INTEGER")
            return value
        case float():
            return ["f", struct.pack(">d", value).hex()]
        case str():
            digits = value.encode().hex()  # a lone surrogate fails here, as it does in the driver
            return ["t", digits] if "\0" in value else value
        case bytes() | bytearray() | memoryview():
            return ["b", bytes(value).hex()]
        case _:
            raise TypeError(f"SQLite stores no {type(value).__name__}: {value!r}")


def decoded(kind: str, digits: str) -> Any:
    """Return the value of a JSON array made by :func:`encoded`."""
    value = bytes.fromhex(digits)
    match kind:
        case "f":
            return struct.unpack(">d", value)[0]
        case "t":
            return value.decode()
        case _:
            return value
