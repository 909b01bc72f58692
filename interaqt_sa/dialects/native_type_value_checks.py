"""Checks of values of database-specific types: addresses, ranges, bits, intervals, object ids."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import Range

_HEX = re.compile(r"[0-9a-f]*", re.IGNORECASE)


def other_check(type_: Any) -> Callable[[Any, Any, Dialect], str | None]:
    """Return the check of a type; it returns the fault of a value, or ``None`` if the type accepts it."""
    return _BY_NAME.get(type_.__visit_name__, _by_processor)


def _by_processor(type_: Any, value: Any, dialect: Dialect) -> str | None:
    """Check a value with the bind processor of its type, before any SQL."""
    process = type_.dialect_impl(dialect).bind_processor(dialect)
    try:
        if process is not None:
            process(value)
    except Exception as error:  # noqa: BLE001  the code of any type
        return f"{type(error).__name__}: {error}"
    return None


def _parsed(parse: Callable[[str], Any], *kinds: type[Any]) -> Callable[[Any, Any, Dialect], str | None]:
    def check(type_: Any, value: Any, dialect: Dialect) -> str | None:
        if isinstance(value, kinds):
            return None
        if not isinstance(value, str):
            return f"give a str or {kinds[0].__name__}" if kinds else "give a str"
        try:
            parse(value)
        except ValueError as error:
            return str(error)
        return None

    return check


def _hardware_address(digits: int) -> Callable[[str], None]:
    def parse(value: str) -> None:
        found = re.sub(r"[:.\-]", "", value)
        if len(found) not in (12, digits) or not _HEX.fullmatch(found):
            raise ValueError("it is not a hardware address")

    return parse


def _object_id(type_: Any, value: Any, dialect: Dialect) -> str | None:
    is_id = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32
    return None if is_id else "give an int of 32 bits, without a sign"


def _bits(type_: Any, value: Any, dialect: Dialect) -> str | None:
    if not isinstance(value, str) or set(str(value)) - {"0", "1"}:  # a BitString is one
        return "give bits: a str of 0 and 1"
    length = type_.length or (None if type_.varying else 1)
    if length is not None and (len(value) > length or (len(value) < length and not type_.varying)):
        return f"give {length} bits"
    return None


def _span(type_: Any, value: Any, dialect: Dialect) -> str | None:
    return None if isinstance(value, timedelta) else "give a timedelta"


def _texts_by_text(type_: Any, value: Any, dialect: Dialect) -> str | None:
    if not _is(value, Mapping):
        return "give a mapping"
    pairs: Mapping[Any, Any] = value
    if not all(isinstance(k, str) and (v is None or isinstance(v, str)) for k, v in pairs.items()):
        return "its keys are texts, and its values are texts or None"
    return "the database stores no NUL characters" if any("\0" in f"{k}{v}" for k, v in pairs.items()) else None


def _range(type_: Any, value: Any, dialect: Dialect) -> str | None:
    return None if isinstance(value, Range) else "give a sqlalchemy.dialects.postgresql.Range"


def _ranges(type_: Any, value: Any, dialect: Dialect) -> str | None:
    found: Any = value
    is_list = _is(found, list, tuple) and all(isinstance(part, Range) for part in found)
    return None if is_list else "give a list of sqlalchemy.dialects.postgresql.Range"


def _word(type_: Any, value: Any, dialect: Dialect) -> str | None:
    return None if isinstance(value, str) else "give a str"


def _is(value: Any, *kinds: Any) -> bool:
    return isinstance(value, kinds)


_RANGES = ("INT4", "INT8", "NUM", "DATE", "TS", "TSTZ")
_BY_NAME: dict[str, Callable[[Any, Any, Dialect], str | None]] = {
    "INET": _parsed(ipaddress.ip_interface, ipaddress.IPv4Address, ipaddress.IPv6Address),
    "CIDR": _parsed(ipaddress.ip_network, ipaddress.IPv4Network, ipaddress.IPv6Network),
    "MACADDR": _parsed(_hardware_address(12)),
    "MACADDR8": _parsed(_hardware_address(16)),
    "OID": _object_id,
    "BIT": _bits,
    "INTERVAL": _span,
    "HSTORE": _texts_by_text,
    "TSVECTOR": _word,
    "TSQUERY": _word,
    "REGCLASS": _word,
    "REGCONFIG": _word,
    **{f"{name}RANGE": _range for name in _RANGES},
    **{f"{name}MULTIRANGE": _ranges for name in _RANGES},
}
