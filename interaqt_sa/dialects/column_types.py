"""Column types whose representation differs between databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

#: SQLite has no timestamp type with time zone, and autoincrements only INTEGER.
_SQLITE = "sqlite"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Timestamp(TypeDecorator[int]):
    """Milliseconds since 1970 in Python; TIMESTAMPTZ in the database, INTEGER on SQLite.

    It accepts milliseconds, an aware ``datetime`` or ISO 8601 text with an offset, and returns milliseconds.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(BigInteger() if dialect.name == _SQLITE else DateTime(timezone=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None:
            return None
        milliseconds = to_milliseconds(value)
        return milliseconds if dialect.name == _SQLITE else _EPOCH + milliseconds * _MILLISECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        return to_milliseconds(value) if isinstance(value, datetime) else value


class AwareDateTime(TypeDecorator[datetime]):
    """A timestamp with time zone; values read from SQLite, which stores no zone, are in UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; a point in time needs one, such as datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Json(JSON):
    """JSON in which ``None`` is SQL NULL, not the JSON value ``null``, which ``IS NULL`` does not match."""

    # JSON derives it from none_as_null, and the ORM would treat an explicit None as a missing value
    should_evaluate_none = True  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def compare_values(self, x: Any, y: Any) -> bool:
        # False == 0 in Python but not in JSON: a change from one to the other has to be flushed
        return _same_json(x, y)


def _same_json(x: Any, y: Any) -> bool:
    # iterative, because JSON may be nested deeper than Python's recursion limit
    one: Any
    other: Any
    waiting: list[tuple[Any, Any]] = [(x, y)]
    while waiting:
        one, other = waiting.pop()
        match one, other:
            case (bool(), _) | (_, bool()):
                if one is not other:
                    return False
            case dict(), dict():
                if one.keys() != other.keys():
                    return False
                waiting += zip(one.values(), map(other.get, one), strict=True)
            case ((list() | tuple()), (list() | tuple())):
                if len(one) != len(other):
                    return False
                waiting += zip(one, other, strict=True)
            case _:
                if one != other:
                    return False
    return True


def to_milliseconds(value: Any) -> int:
    """Return a timestamp as milliseconds since 1970.

    :param value: milliseconds, an aware ``datetime`` or ISO 8601 text with an offset.
    :raises ValueError: if it is none of these, or has no time zone.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - _EPOCH) // _MILLISECOND
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not a timestamp; give milliseconds since 1970, or a date with a time zone")


def id_type() -> TypeEngine[Any]:
    """Return the type of ids; on SQLite INTEGER, which autoincrement requires."""
    return BigInteger().with_variant(Integer(), _SQLITE)


def json_type() -> TypeEngine[Any]:
    """Return the type of JSON values, in which ``None`` is SQL NULL."""
    return Json().with_variant(JSONB(none_as_null=True), "postgresql")
