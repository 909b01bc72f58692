"""Column types whose form differs between databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

#: It has no type for points in time that keeps their zone, and counts up nothing but INTEGER.
_SQLITE = "sqlite"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Timestamp(TypeDecorator[int]):
    """Milliseconds since 1970 in Python; TIMESTAMPTZ in the database, INTEGER on SQLite.

    Takes milliseconds, an aware ``datetime`` or ISO 8601 text with an offset; gives milliseconds.
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
    """A point in time; always comes back with a time zone, also from SQLite, which keeps none."""

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
    """JSON, where ``None`` is NULL, not the JSON value ``null``, which ``IS NULL`` would not find."""

    # JSON derives it from none_as_null, by which an explicit None would be taken for a missing value
    should_evaluate_none = True  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def compare_values(self, x: Any, y: Any) -> bool:
        # to Python False is 0, to JSON it is not: the change from one to the other must be written
        return _same_json(x, y)


def _same_json(x: Any, y: Any) -> bool:
    # by a list, not by recursion: JSON may be nested deeper than Python's stack bears
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
    :raises ValueError: if it is something else, or has no time zone.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        return (value - _EPOCH) // _MILLISECOND
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is not a timestamp; give milliseconds since 1970, or a date with a time zone")


def id_type() -> TypeEngine[Any]:
    """Return the type of ids; on SQLite it must be INTEGER to be counted up."""
    return BigInteger().with_variant(Integer(), _SQLITE)


def json_type() -> TypeEngine[Any]:
    """Return the type of JSON values, where ``None`` is NULL."""
    return Json().with_variant(JSONB(none_as_null=True), "postgresql")
