"""Copy the arguments of a dispatch as plain data."""

from __future__ import annotations

import inspect as python_inspect
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeGuard
from uuid import UUID

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState

from ..errors import InvalidValueError
from ..schema.value_checks import MAX_DEPTH

_SCALARS = frozenset({str, int, float, bool, type(None), bytes, Decimal, UUID, datetime, date, time, timedelta})
_SCALAR_BASES = (str, int, float, bytes, Decimal, UUID, date, time, timedelta, Enum)


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether ``value`` is a mapping."""
    return isinstance(value, Mapping)


def is_array(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether ``value`` is a list or tuple."""
    return isinstance(value, (list, tuple))


def plain_copy(value: Any, path: str = "args", depth: int = 1) -> Any:
    """Return a deep copy of ``value`` that consists of dicts, lists, tuples, sets and scalars.

    Models of pydantic and msgspec are dumped.

    :param path: the path of ``value`` in the arguments, for the error.
    :param depth: the level of nesting of ``value``.
    :raises InvalidValueError: if it is nested too deeply.
    :raises TypeError: if ``value`` contains anything but plain data, such as an ORM instance.
    """
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in _SCALARS:
        return value
    if depth > MAX_DEPTH:
        raise InvalidValueError(f"args are nested deeper than {MAX_DEPTH} levels", code="INVALID_ARGUMENT")
    depth += 1
    if kind is dict:
        return {
            key: item if type(item) in _SCALARS else plain_copy(item, f"{path}[{key!r}]", depth)
            for key, item in value.items()
        }
    if kind is list:
        return [plain_copy(item, path, depth) for item in value]
    if kind is tuple:
        return tuple(plain_copy(item, path, depth) for item in value)
    if issubclass(kind, _SCALAR_BASES):
        return value
    if issubclass(kind, Mapping):
        return plain_copy(dict(value), path, depth)
    if issubclass(kind, (list, tuple)):
        return plain_copy(list(value), path, depth)
    if issubclass(kind, AbstractSet):
        return {plain_copy(item, path, depth) for item in value}
    return plain_copy(_dumped(value, path), path, depth)


def _dumped(value: Any, path: str) -> Any:
    if isinstance(inspect(value, raiseerr=False), InstanceState):
        raise TypeError(
            f"{path} is an instance of the mapped class {type(value).__name__}; a dispatch takes plain data, "
            "because each attempt has a session of its own: give its key, or a dict of its values"
        )
    if python_inspect.isawaitable(value):
        if python_inspect.iscoroutine(value):
            value.close()
        raise TypeError(f"{path} is an awaitable; a dispatch takes plain data: await it first")
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump()
    msgspec = sys.modules.get("msgspec")
    if msgspec is not None and isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value, builtin_types=(bytes, datetime, date, time, timedelta, Decimal, UUID))
    raise TypeError(
        f"{path} is a {type(value).__module__}.{type(value).__qualname__}; a dispatch takes plain data: mappings, "
        "lists, scalars, dates, Decimals, UUIDs and models of pydantic and msgspec"
    )
