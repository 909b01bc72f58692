"""A few values of every column type, the awkward ones among them."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Dialect,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    PickleType,
    SmallInteger,
    String,
    Text,
    Time,
    TypeDecorator,
    Unicode,
    Uuid,
)
from sqlalchemy.dialects import postgresql as pg


class Colour(enum.Enum):
    RED = "r"
    BLUE = "b"


class Reversed(TypeDecorator[str]):
    """Stores text backwards."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value and value[::-1]

    process_result_value = process_bind_param


class Packed(TypeDecorator[UUID]):
    """Stores a UUID as bytes, as is usual elsewhere."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.bytes

    def process_result_value(self, value: Any | None, dialect: Dialect) -> UUID | None:
        return None if value is None else UUID(bytes=bytes(value))


class Tags(TypeDecorator[frozenset[str]]):
    """Stores a set as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else sorted(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else frozenset(value)


class Cents(TypeDecorator[Decimal]):
    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else Decimal(value) / 100


_DAY = datetime(2024, 2, 29, 23, 59, 58, 123456)  # noqa: DTZ001
_UUID = UUID("00112233-4455-6677-8899-aabbccddeeff")
_TEXTS = ["", "a", "ä€😀", "it's", '"quoted"', "{1,2}", "[1]", "NULL", "null", "\\x00", "a\tb\nc", '["f","00"]', "1.50"]
_JSON: list[Any] = [{}, [], [1, 2], [[1], [2, [3]]], {"a": [1, {"b": None}]}, "text", 1, 1.5, True, False, ["ä", "'"]]

#: types of every database
EVERYWHERE: dict[str, tuple[Any, list[Any]]] = {
    "Integer": (Integer(), [0, -1, 2**31 - 1]),
    "SmallInteger": (SmallInteger(), [0, -32768]),
    "BigInteger": (BigInteger(), [2**63 - 1, -(2**63), 0, 2**53 + 1]),
    "Boolean": (Boolean(), [True, False]),
    "Numeric": (Numeric(12, 4), [Decimal("0.1000"), Decimal("-12345.6789"), Decimal("1E+3"), 7]),
    "Float": (Float(), [0.1, -1e300, 5e-324, 1 / 3, 2.0, float("inf"), float("-inf")]),
    "Double": (Double(), [0.1 + 0.2, 1e16, 123456789.123456789, 4.0]),
    "REAL": (REAL(), [0.1, 2.0]),
    "String": (String(), _TEXTS),
    "Text": (Text(), _TEXTS),
    "Unicode": (Unicode(20), ["ß", ""]),
    "CHAR": (CHAR(4), ["ab", "abcd"]),
    "LargeBinary": (LargeBinary(), [b"", b"\0\xff", b"abc", bytes(range(256))]),
    "Date": (Date(), [date(1, 1, 1), date(9999, 12, 31)]),
    "DateTime": (DateTime(), [_DAY, _DAY.replace(microsecond=0)]),
    "Time": (Time(), [time(), time(23, 59, 59, 999999)]),
    "Interval": (Interval(), [timedelta(), timedelta(days=3, microseconds=1)]),
    "Uuid": (Uuid(), [_UUID, UUID(int=0)]),
    "Uuid as text": (Uuid(as_uuid=False), [str(_UUID)]),
    "Enum": (Enum(Colour, name="colour"), list(Colour)),
    "Enum by value": (Enum(Colour, name="hue", values_callable=lambda e: [c.value for c in e]), list(Colour)),
    "Enum of text": (Enum("x y", "z'", name="letters", native_enum=False), ["x y", "z'"]),
    "JSON": (JSON(), _JSON),
    "JSON, NULL": (JSON(none_as_null=True), _JSON),
    "PickleType": (PickleType(), [{"a": {1, 2}}, (1,), [1, [2]]]),
    "text backwards": (Reversed(), ["abc", "", "ä'"]),
    "UUID in bytes": (Packed(), [_UUID, UUID(int=0)]),
    "set in JSON": (Tags(), [frozenset(), frozenset({"a", "b"})]),
    "Decimal in cents": (Cents(), [Decimal("1.25"), Decimal(0)]),
}

#: those of PostgreSQL alone
POSTGRESQL: dict[str, tuple[Any, list[Any]]] = {
    "Numeric without a scale": (Numeric(), [Decimal("NaN"), Decimal("0.10"), Decimal(10) ** 40]),
    "Float, NaN": (Double(), [float("nan"), 0.0]),
    "TIMESTAMPTZ": (DateTime(timezone=True), [_DAY.replace(tzinfo=UTC)]),
    "TIMETZ": (Time(timezone=True), [time(1, 2, 3, tzinfo=UTC)]),
    "ARRAY of int": (ARRAY(Integer), [[], [1, 2], [3, None]]),
    "ARRAY of text": (pg.ARRAY(Text), [["{}", 'a"b', "NULL", "\\"], [""]]),
    "ARRAY of two dimensions": (pg.ARRAY(Integer, dimensions=2), [[[1, 2], [3, 4]], []]),
    "ARRAY of Enum": (pg.ARRAY(pg.ENUM(Colour, name="tint")), [list(Colour), []]),
    "ARRAY of JSONB": (pg.ARRAY(pg.JSONB), [[{"a": [1]}, [1, 2], 3]]),
    "JSONB": (pg.JSONB(), _JSON),
    "INET": (pg.INET(), [ip_address("10.0.0.1"), ip_address("::1")]),
    "CIDR": (pg.CIDR(), [ip_network("10.0.0.0/8")]),
    "MACADDR": (pg.MACADDR(), ["08:00:2b:01:02:03"]),
    "HSTORE": (pg.HSTORE(), [{"a": "1", "b": None}, {}]),
    "TSVECTOR": (pg.TSVECTOR(), ["'a':1 'b':2"]),
    "BYTEA": (pg.BYTEA(), [b"\\x00", b""]),
    "INT4RANGE": (pg.INT4RANGE(), [pg.Range(1, 5), pg.Range(empty=True), pg.Range(None, 3)]),
    "TSTZRANGE": (pg.TSTZRANGE(), [pg.Range(_DAY.replace(tzinfo=UTC), None)]),
    "INT4MULTIRANGE": (pg.INT4MULTIRANGE(), [[pg.Range(1, 5), pg.Range(7, 9)], []]),
    "INTERVAL": (pg.INTERVAL(), [timedelta(days=1, seconds=1)]),
    "CITEXT": (pg.CITEXT(), ["Ab", ""]),
}

#: types that a primary key may have, and a foreign key to it; values that are all different
KEYS = [
    *("BigInteger", "Numeric", "String", "LargeBinary", "Date", "DateTime", "Time", "Uuid", "Uuid as text", "Enum"),
    *("Enum by value", "text backwards", "UUID in bytes", "Decimal in cents", "Double"),
]
