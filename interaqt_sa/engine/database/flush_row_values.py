"""Column values of flushed rows as a later read will return them, if they are known in memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum as PythonEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    DOUBLE,
    DOUBLE_PRECISION,
    TEXT,
    VARCHAR,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    Numeric,
    String,
    Text,
    Unicode,
    UnicodeText,
    Uuid,
    inspect,
)
from sqlalchemy.orm import Mapper, RelationshipDirection

from ...definitions.events import RecordView
from ...schema.record_lookup import relationships_of
from ..plan import Watch
from .value_round_trip import same_value

#: returned by :func:`stored_form` if the stored value is known only to the database
UNKNOWN: Any = object()

_TEXT = (String, Text, Unicode, UnicodeText, VARCHAR, TEXT)
_DOUBLE = (Float, Double, DOUBLE, DOUBLE_PRECISION)
#: number of digits up to which a decimal survives storage as a double on SQLite
_EXACT_DIGITS = 15


class UnknownValueError(BaseException):
    """A function has read a value that is unknown in memory; `except Exception` in the function does not catch it."""


class FunctionRow(RecordView):
    """The argument of a function of a row: its columns, with the computed ones declared before the function's own.

    :param known: values of attributes.
    :param later: attributes that are computed after the function's own.
    :param is_whole: whether ``known`` is complete; otherwise any access to a missing value raises
        :class:`UnknownValueError`.
    """

    __slots__ = ("__is_whole", "__later", "__mapper")

    def __init__(
        self, mapper: Mapper[Any], known: Mapping[str, Any], later: Iterable[str] = (), *, is_whole: bool
    ) -> None:
        self.__mapper = mapper
        self.__later = frozenset(later)
        self.__is_whole = is_whole
        super().__init__((name, value) for name, value in known.items() if name not in self.__later)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith(("__", "_FunctionRow__")):
            return object.__getattribute__(self, name)
        if dict.__contains__(self, name):
            return dict.__getitem__(self, name)
        self.__refuse(name)
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        self.__refuse(name)
        return super().__getattr__(name)

    def __missing__(self, name: str) -> Any:
        self.__refuse(name)
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        if not dict.__contains__(self, name):
            self.__require_whole()
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        self.__require_whole()
        return dict.__iter__(self)

    def __len__(self) -> int:
        self.__require_whole()
        return dict.__len__(self)

    def __refuse(self, name: str) -> None:
        if name in self.__later:
            raise AttributeError(
                f"{name!r} is computed too; a function can read only the computed columns declared before its own"
            )
        if name in self.__mapper.relationships:
            raise AttributeError(
                f"{name!r} is a relationship, and a function of the row can read only its columns; count or sum "
                f"related rows with a computation, such as Count({name!r}), and read that column in the function"
            )
        self.__require_whole()

    def __require_whole(self) -> None:
        if not self.__is_whole:
            raise UnknownValueError


def stored_row(mapper: Mapper[Any], row: Mapping[str, Any], later: Iterable[str]) -> FunctionRow:
    """Return a row as it is stored, without the values that are still to be computed."""
    return FunctionRow(mapper, row, later, is_whole=True)


def new_row(instance: Any, watch: Watch) -> FunctionRow:
    """Return a row that will be inserted."""
    mapper = watch.mapper
    loaded, moving = inspect(instance).dict, _set_by_the_flush(mapper)
    known: dict[str, Any] = {}
    for prop in mapper.column_attrs:
        column = prop.columns[0]
        value = stored_form(loaded.get(prop.key, UNKNOWN), column)
        if value is not UNKNOWN and column not in moving and not (value is None and _has_default(column)):
            known[prop.key] = value
    return FunctionRow(mapper, known, (value.attribute for value in watch.same_row), is_whole=False)


def changed_row(instance: Any, watch: Watch, stored: Mapping[str, Any]) -> FunctionRow:
    """Return a row that will be updated.

    :param stored: the stored values of the locked row.
    """
    mapper = watch.mapper
    state, moving = inspect(instance), _set_by_the_flush(mapper)
    known = dict(stored)
    for prop in mapper.column_attrs:
        column = prop.columns[0]
        value = known.get(prop.key, UNKNOWN)
        if prop.key in state.committed_state:
            value = stored_form(state.dict.get(prop.key, UNKNOWN), column)
        if value is UNKNOWN or column in moving or changes_by_itself(column):
            known.pop(prop.key, None)
        else:
            known[prop.key] = value
    return FunctionRow(mapper, known, (value.attribute for value in watch.same_row), is_whole=False)


def _set_by_the_flush(mapper: Mapper[Any]) -> set[Any]:
    """Return the columns that the unit of work may set: versions and foreign keys of relationships."""
    found = {
        c for r in relationships_of(mapper) if r.direction is RelationshipDirection.MANYTOONE for c in r.local_columns
    }
    found |= {column for column in mapper.columns if column.foreign_keys}
    return found if mapper.version_id_col is None else found | {mapper.version_id_col}


def _has_default(column: Any) -> bool:
    """Whether a new row gets a default for an assigned None."""
    defaults = (getattr(column, "default", None), getattr(column, "server_default", None))
    return any(default is not None for default in defaults) and not column.type.should_evaluate_none


def changes_by_itself(column: Any) -> bool:
    """Whether an UPDATE of other columns may change this one."""
    return getattr(column, "onupdate", None) is not None or getattr(column, "server_onupdate", None) is not None


def stored_form(value: Any, column: Any) -> Any:
    """Return ``value`` as a later read of ``column`` returns it; :data:`UNKNOWN` if only the database can tell."""
    if not isinstance(column, Column) or column.computed is not None:
        return UNKNOWN
    kind: Any = column.type
    found = _form(value, column, kind)
    for other in kind._variant_mapping.values():  # whichever variant the database uses
        form = _form(value, column, other)
        if form is UNKNOWN or type(form) is not type(found) or not same_value(form, found) or str(form) != str(found):
            return UNKNOWN
    return found


def _form(value: Any, column: Column[Any], kind: Any) -> Any:
    exact: type[Any] = type(kind)
    if not exact.__module__.startswith("sqlalchemy."):
        return UNKNOWN  # a type of the application may convert any value, None included
    match value:
        case None:
            return None if column.nullable and not kind.should_evaluate_none else UNKNOWN
        case bool():
            return value if exact is Boolean else UNKNOWN
        case int() if isinstance(kind, Integer):
            return int(value)
        case int() | float() if exact in _DOUBLE and kind.precision in (None, 53) and not kind.asdecimal:
            number = float(value)
            # negative zero and NaN may be unsupported
            return number if (number and math.isfinite(number)) or str(number) == "0.0" else UNKNOWN
        case int() | Decimal() if isinstance(kind, Numeric) and not isinstance(kind, Float) and kind.asdecimal:
            return _decimal(Decimal(value), kind.scale)
        case PythonEnum() if isinstance(kind, Enum):
            return value if kind.enum_class is type(value) else UNKNOWN
        case str():
            # PostgreSQL truncates spaces beyond the length
            length: int | None = getattr(kind, "length", None)
            fits = exact in _TEXT and (length is None or len(value) <= length)
            return str(value) if fits else UNKNOWN
        case UUID():
            return value if isinstance(kind, Uuid) and kind.as_uuid else UNKNOWN
        case datetime():
            is_naive = exact is DateTime and value.tzinfo is None and not getattr(kind, "timezone", True)
            return value if is_naive else UNKNOWN
        case date():
            return value if exact is Date else UNKNOWN
        case _:
            return UNKNOWN


def _decimal(value: Decimal, scale: int | None) -> Any:
    """Return a decimal with the scale of its column; :data:`UNKNOWN` if it has more digits."""
    exponent = value.as_tuple().exponent
    if scale is None or not isinstance(exponent, int) or -exponent > scale:
        return UNKNOWN
    padded = value.quantize(Decimal(1).scaleb(-scale)) + 0  # removes the sign of zero
    return padded if len(padded.as_tuple().digits) <= _EXACT_DIGITS else UNKNOWN
