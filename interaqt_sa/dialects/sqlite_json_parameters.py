"""Values in SQLite's JSON parameters: what JSON has no form for, or not the same one, is carried as bytes.

SQLite reads numbers of JSON text less exactly than it stores them, and JSON has neither bytes nor infinities, and ends
text at a NUL. Such a value goes as a JSON array of its kind and its bytes in hexadecimal digits; a function that the
engine defines on each connection turns it back.
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

#: the function, which takes the JSON array
DECODE = "iq__decode"
_INTEGERS = range(-(2**63), 2**63)
#: types whose values the driver gets as integers, or as text without a NUL
_PLAIN = (Boolean, Date, DateTime, Integer, Interval, Time, Uuid)


def is_plain(type_: TypeEngine[Any]) -> bool:
    """Whether JSON carries all values of a type as they are."""
    while type(type_) is not Interval and isinstance(type_, TypeDecorator):
        return False  # whatever its Python code makes of a value
    return isinstance(type_, _PLAIN)


def encoded(value: Any) -> Any:
    """Return a value that the driver would take as JSON takes it.

    :raises OverflowError: if an integer has more than 64 bits, as the driver does.
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
    """Return the value of a JSON array that :func:`encoded` made."""
    value = bytes.fromhex(digits)
    match kind:
        case "f":
            return struct.unpack(">d", value)[0]
        case "t":
            return value.decode()
        case _:
            return value
