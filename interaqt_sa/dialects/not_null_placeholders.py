"""Placeholders in NOT NULL columns between their INSERT and the computation of the value in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
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
    PickleType,
    String,
    Time,
    Uuid,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

_POSTGRESQL = "postgresql"
_ZERO_DAY = datetime(1970, 1, 1)  # noqa: DTZ001  for types without time zones
#: literals of PostgreSQL's own types
_LITERALS: dict[type[TypeEngine[Any]], str] = {
    postgresql.INET: "'0.0.0.0'",
    postgresql.CIDR: "'0.0.0.0/0'",
    postgresql.MACADDR: "'00:00:00:00:00:00'",
    postgresql.MACADDR8: "'00:00:00:00:00:00:00:00'",
    postgresql.HSTORE: "''",
    postgresql.TSVECTOR: "''",
    postgresql.TSQUERY: "''",
    postgresql.MONEY: "'0'",
    postgresql.OID: "0",
    postgresql.REGCLASS: "'pg_class'",
    postgresql.JSONPATH: "'$'",
    postgresql.ranges.AbstractSingleRange: "'empty'",
    postgresql.ranges.AbstractMultiRange: "'{}'",
}


class Placeholder(ColumnElement[Any]):
    """A server default that the type can store and read back on each database.

    :param type_: the type of the column.
    """

    inherit_cache = True

    def __init__(self, type_: TypeEngine[Any]) -> None:
        self.type = type_


@compiles(Placeholder)
def _placeholder(element: Placeholder, compiler: Any, **_: Any) -> str:
    found = literal_for(element.type, compiler.dialect)
    if found is None:
        raise CompileError(f"there is no value of {element.type!r} for rows whose own is still to be computed")
    return found


def has_placeholder(type_: TypeEngine[Any]) -> bool:
    """Whether a placeholder of a type is known for any database."""
    return any(literal_for(type_, dialect()) is not None for dialect in (postgresql.dialect, sqlite.dialect))


def literal_for(type_: TypeEngine[Any], dialect: Dialect) -> str | None:
    """Return a SQL literal that a type can store and read back; ``None`` if none is known."""
    found = type_.dialect_impl(dialect)
    match found:
        case PickleType():
            return _literal(found.pickler.dumps(None, found.protocol), LargeBinary(), dialect)
        case TypeDecorator() if not isinstance(found, Interval):
            return _literal_of_decorated(found, dialect)
        case postgresql.DOMAIN():
            return literal_for(found.data_type, dialect)
        case postgresql.BIT():
            return "B''" if found.varying else f"B'{'0' * (found.length or 1)}'"
        case _:
            pass
    for known, literal in _LITERALS.items():
        if isinstance(found, known):
            return literal
    value = next(_values(found), None)
    return None if value is None else _literal(value, found, dialect)


def _literal_of_decorated(type_: TypeDecorator[Any], dialect: Dialect) -> str | None:
    """Return the literal of the first guessed value that the type's Python code converts in both directions."""
    impl = type_.impl_instance
    guesses: tuple[Any, ...] = (*_values(impl), 0, "", UUID(int=0), b"", {}, [], False)
    for value in guesses:
        try:
            stored = type_.process_bind_param(value, dialect)
            literal = None if stored is None else _literal(stored, impl, dialect)
            if literal is not None:
                type_.process_result_value(stored, dialect)
                return literal
        except Exception:  # noqa: BLE001, S112  the application's code, called with a guess
            continue
    return literal_for(impl, dialect) if type_.process_bind_param.__func__ is TypeDecorator.process_bind_param else None  # type: ignore[attr-defined]


def _values(type_: TypeEngine[Any]) -> Iterator[Any]:
    """Yield sample values of a type, empty ones first."""
    match type_:
        case Enum(enums=[first, *_]):
            yield first
        case Boolean():
            yield False
        case Integer():
            yield from (0, 1)
        case Numeric() | Float():
            yield from (Decimal(0), 0.0)
        case String():
            yield from ("", "0")
        case DateTime():
            yield from (_ZERO_DAY, _ZERO_DAY.replace(tzinfo=UTC))
        case Date():
            yield _ZERO_DAY.date()
        case Time():
            yield time()
        case Interval() | postgresql.INTERVAL():
            yield timedelta()
        case LargeBinary() | postgresql.BYTEA():
            yield b""
        case Uuid():
            yield UUID(int=0)
        case JSON():
            yield from ("", {}, [])
        case ARRAY():
            yield []
        case _:
            return


def _literal(value: Any, type_: TypeEngine[Any], dialect: Dialect) -> str | None:
    """Return the SQL literal of a value as it is passed to the driver."""
    match type_:
        case JSON():
            return _quoted(json.dumps(value or None))
        case Interval() if not isinstance(value, timedelta) or dialect.name != _POSTGRESQL:
            return _quoted(str(_ZERO_DAY))
        case ARRAY():
            return None if value else "'{}'"
        case Uuid():
            return _quoted(str(value) if dialect.supports_native_uuid else str(value).replace("-", ""))
        case Boolean():
            return None if not isinstance(value, (bool, int)) else _boolean(bool(value), dialect)
        case _:
            pass
    match value:
        case bool() | int() | float() | Decimal():
            return str(value + 0)
        case str():
            return _quoted(value)
        case bytes():
            return f"'\\x{value.hex()}'" if dialect.name == _POSTGRESQL else f"x'{value.hex()}'"
        case timedelta():
            return "'0'"
        case datetime() | date() | time():
            return _quoted(str(value))
        case _:
            return None


def _boolean(value: bool, dialect: Dialect) -> str:
    return str(value).lower() if dialect.supports_native_boolean else str(int(value))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
