"""Pages of records, each of which begins after the previous one."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, literal, or_

from ..definitions.short_repr import shorten
from ..errors import InvalidValueError

Record = dict[str, Any]


class Page(list[Record]):
    """A list of records.

    :ivar cursor: value of ``after=`` for the records after the last one; ``None`` without a limit, or if there are no
        records.
    """

    def __init__(self, records: Sequence[Record] = (), cursor: str | None = None) -> None:
        super().__init__(records)
        self.cursor = cursor


@dataclass(frozen=True, slots=True)
class OrderPart:
    """One attribute of an order.

    :ivar null_is_last: whether NULL comes after all values, in this direction.
    """

    path: str
    column: ColumnElement[Any]
    descends: bool
    null_is_last: bool

    @property
    def ordered(self) -> ColumnElement[Any]:
        """The column with its direction, for ORDER BY."""
        return self.column.desc() if self.descends else self.column.asc()

    def same(self, value: Any) -> ColumnElement[bool]:
        """Return the criterion that a row has the same value."""
        return self.column.is_(None) if value is None else self.column == value

    def later(self, value: Any) -> ColumnElement[bool]:
        """Return the criterion that the value of a row comes after ``value``."""
        if value is None:
            return false() if self.null_is_last else self.column.is_not(None)
        # SQLAlchemy would render plain booleans as SQL constants
        given = cast("Any", value if isinstance(value, ColumnElement) else literal(value, self.column.type))
        found: ColumnElement[bool] = self.column < given if self.descends else self.column > given
        return or_(found, self.column.is_(None)) if self.null_is_last else found


def check_batch(batch: Any) -> None:
    """Check that the argument is a number of records.

    :raises InvalidValueError: if it is not.
    """
    if type(batch) is not int or batch < 1:
        raise InvalidValueError(f"batch must be a number of records, not {shorten(batch)}", code="INVALID_ARGUMENT")


def later_than(order: Sequence[OrderPart], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the criterion that a row comes after the one with ``values``; the last part of the order is unique."""
    first, *others = zip(order, values, strict=True)
    part, value = first
    if not others:
        return part.later(value)
    rest = later_than([p for p, _ in others], [v for _, v in others])
    found = or_(part.later(value), and_(part.same(value), rest))
    # partly redundant, so that an index on the first column can be used
    return found if value is None else and_(or_(part.later(value), part.same(value)), found)


def encode_cursor(order: Sequence[tuple[str, bool]], values: Sequence[Any]) -> str:
    """Return the cursor for the position after a row with ``values``.

    :param order: the attributes, and whether they are descending.
    :raises InvalidValueError: if a value is not supported in cursors.
    """
    found = {
        "order": [list(part) for part in order],
        "values": [_packed(path, value) for (path, _), value in zip(order, values, strict=True)],
    }
    return urlsafe_b64encode(json.dumps(found, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(order: Sequence[tuple[str, bool]], cursor: Any) -> list[Any]:
    """Return the values of the row after which the page begins.

    :raises InvalidValueError: if the cursor is invalid, or belongs to another order.
    """
    try:
        found = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        known = [(path, descends) for path, descends in found["order"]]
        values = [_unpacked(value) for value in found["values"]]
        if len(values) != len(known):
            raise ValueError
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidValueError(
            f"after={shorten(cursor)} is not a cursor; give the .cursor of a list that find() returned",
            code="INVALID_CURSOR",
        ) from error
    if known != list(order):
        shown = ", ".join(f"{path} {'DESC' if descends else 'ASC'}" for path, descends in known)
        raise InvalidValueError(f"the cursor is that of another order, by {shown}", code="INVALID_CURSOR")
    return values


_TEXT: dict[str, tuple[type[Any], Callable[[Any], str], Callable[[str], Any]]] = {
    "float": (float, repr, float),
    "decimal": (Decimal, str, Decimal),
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "seconds": (timedelta, lambda value: repr(value.total_seconds()), lambda text: timedelta(seconds=float(text))),
    "uuid": (UUID, str, UUID),
    "bytes": (bytes, bytes.hex, bytes.fromhex),
}


def _packed(path: str, value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    for tag, (kind, to_text, _) in _TEXT.items():
        if type(value) is kind:
            return {tag: to_text(value)}
    raise InvalidValueError(
        f"{path}: {shorten(value)} cannot stand in a cursor; order by another attribute, or use offset=",
        property=path,
        code="INVALID_ARGUMENT",
    )


def _unpacked(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    ((tag, text),) = value.items()
    return _TEXT[tag][2](text)
