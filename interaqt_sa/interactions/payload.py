"""Payloads of interactions, and their checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, String, Uuid, and_, inspect, or_, select
from sqlalchemy.orm import Mapper

from ..definitions.records import PropertyType
from ..definitions.short_repr import shorten
from ..definitions.type_aliases import RecordRef
from ..definitions.validation import check_name
from ..dialects.column_types import to_milliseconds
from ..errors import DefinitionFault, InteractionGuardError
from ..runtime.context import Context
from ..runtime.dispatch_arguments import is_array, is_mapping
from ..schema.filtered_lookup import filtered_record
from ..schema.key_coercion import NoKeyError, key_value
from ..schema.record_lookup import record_name
from ..schema.value_checks import may_be_stored

CHECK = "payload"
_SCALARS = (str, int, float, Decimal, UUID, date, bytes)
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class PayloadItem:
    """One entry of a payload.

    :param name: key of the entry; letters, digits and underscores.
    :param type: ``"string"``, ``"number"`` (finite), ``"boolean"``, ``"object"``, ``"timestamp"`` (milliseconds since
        1970, or a date with a time zone), ``"id"``, or ``str``, ``int``, ``float``, ``Decimal``, ``bool``,
        ``datetime``, ``dict``, ``list``, ``UUID``. ``None``: any value.
    :param base: the record that the value describes (name, definition or mapped class); the value is an object.
    :param is_ref: whether the value is the key of an existing row of ``base``: ``{"id": 3}``.
    :param required: whether the entry must be present. A present entry may not be ``None`` if it has a type.
    :param is_collection: whether the value is a list of such values.
    :raises DefinitionFault: if the name is invalid, the type is unknown, or a reference has no base.

    ::

        PayloadItem("lines", base="OrderLine", is_collection=True, required=True)
    """

    name: str
    type: PropertyType | None
    base: RecordRef | None
    is_ref: bool
    required: bool
    is_collection: bool

    def __init__(
        self,
        name: str,
        type: PropertyType | None = None,
        *,
        base: RecordRef | None = None,
        is_ref: bool = False,
        required: bool = False,
        is_collection: bool = False,
    ) -> None:
        check_name("PayloadItem", name)
        if type is not None and type not in _CHECKS:
            raise DefinitionFault(f"payload item {name!r}: there is no type {type!r}; give one of {_known_types()}")
        if is_ref and base is None:
            raise DefinitionFault(f"payload item {name!r} is a reference; say to which record by base=")
        values = (name, type, base, is_ref, required, is_collection)
        for key, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, key, value)


@dataclass(frozen=True, slots=True)
class Payload:
    """The entries of a payload; a payload with other entries is rejected.

    :param items: :class:`PayloadItem` values with unique names.
    :raises DefinitionFault: if two have the same name.

    ::

        Payload([PayloadItem("order", base="Order", is_ref=True, required=True), PayloadItem("note", "string")])
    """

    items: tuple[PayloadItem, ...]

    def __init__(self, items: Iterable[PayloadItem]) -> None:
        found = tuple(items)
        names = [item.name for item in found]
        if len(set(names)) != len(names):
            raise DefinitionFault(f"two payload items share a name: {sorted(names)}")
        object.__setattr__(self, "items", found)


def check_payload(payload: Payload, ctx: Context, given: Any) -> None:
    """Check the payload of a dispatched interaction.

    :raises InteractionGuardError: with the ``item`` and the fault in ``type``.
    """
    if not is_mapping(given):
        raise _rejection(ctx, "payload not an object", "PAYLOAD_NOT_OBJECT")
    known = {item.name for item in payload.items}
    for name in given:
        if name not in known:
            shown = _shown(name)
            raise _rejection(ctx, f"{shown} not defined", "PAYLOAD_NOT_DEFINED", shown)
    for item in payload.items:
        if item.name in given:
            _check_item(item, ctx, given[item.name])
        elif item.required:
            raise _rejection(ctx, f"{item.name} missing", "PAYLOAD_MISSING", item.name)


def _check_item(item: PayloadItem, ctx: Context, value: Any) -> None:
    values: Sequence[Any] = [value]
    if item.is_collection:
        if not is_array(value):
            raise _rejection(ctx, f"{item.name} data is not array", "PAYLOAD_NOT_ARRAY", item.name)
        values = value
    if item.type is not None and not all(map(_CHECKS[item.type], values)):
        raise _rejection(ctx, f"{item.name} type mismatch", "PAYLOAD_TYPE", item.name)
    if item.base is None:
        return
    if item.is_ref:
        schema = ctx.controller.system.schema
        members = filtered_record(schema.metadata, item.base)
        cls = schema.mapped_class(item.base if members is None else members.base)
        _check_refs(item, ctx, inspect(cls), values, () if members is None else (members.membership > 0,))
    elif not all(map(is_mapping, values)):
        raise _rejection(ctx, f"{item.name} check concept failed", "PAYLOAD_NOT_RECORD", item.name)


def _check_refs(
    item: PayloadItem,
    ctx: Context,
    mapper: Mapper[Any],
    values: Iterable[Any],
    criteria: Iterable[ColumnElement[bool]],
) -> None:
    names = _key_names(mapper)
    wanted: set[tuple[Any, ...]] = set()
    for entry in values:
        key = _key(mapper, names, entry) if is_mapping(entry) else (None,)
        if None in key:
            reason = "data not every is ref" if item.is_collection else "data is not a ref"
            raise _rejection(ctx, f"{item.name} {reason}", "PAYLOAD_NOT_REF", item.name)
        wanted.add(key)
    if not wanted:
        return
    dialect = ctx.sync_session.get_bind(mapper=mapper).dialect
    key_columns = [mapper.column_attrs[name].columns[0] for name in names]
    if not all(may_be_stored(c, part, dialect) for key in wanted for c, part in zip(key_columns, key, strict=True)):
        raise _not_found(item, ctx, mapper)
    # of the class itself, not of the one that it inherits them from, so that rows of other classes do not count
    columns = [getattr(mapper.class_, name) for name in names]
    if len(columns) == 1:
        criterion = columns[0].in_([key[0] for key in wanted])
    else:
        criterion = or_(*(and_(*(c == part for c, part in zip(columns, key, strict=True))) for key in wanted))
    found = ctx.sync_session.execute(select(*columns).where(criterion, *criteria)).all()
    if len(found) < len(wanted):
        raise _not_found(item, ctx, mapper)


def _not_found(item: PayloadItem, ctx: Context, mapper: Mapper[Any]) -> InteractionGuardError:
    return _rejection(ctx, f"{item.name} ref not found", "PAYLOAD_REF_NOT_FOUND", item.name, record=record_name(mapper))


def _key(mapper: Mapper[Any], names: Iterable[str], entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the key in an entry, with ``None`` for missing and invalid parts."""
    parts: list[Any] = []
    for name in names:
        column, part = mapper.column_attrs[name].columns[0], entry.get(name)
        try:
            part = key_value(column, part)
        except NoKeyError:
            part = None
        expected = {Integer: int, Uuid: UUID, String: str}
        kinds = [python for kind, python in expected.items() if isinstance(column.type, kind)]
        parts.append(part if isinstance(part, (*kinds,) or _SCALARS) and not isinstance(part, bool) else None)
    return tuple(parts)


def _key_names(mapper: Mapper[Any]) -> list[str]:
    keys = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
    return ["id"] if len(keys) == 1 and "id" in mapper.attrs else keys


def _rejection(
    ctx: Context, found: str, code: str, item: str | None = None, record: str | None = None
) -> InteractionGuardError:
    missing = f": no {record} has this key" if record is not None else ""
    return InteractionGuardError(
        f"{ctx.event_source.name}: {found}{missing}", check=CHECK, type=found, code=code, item=item, record=record
    )


def _shown(name: Any) -> str:
    """Return the name of an item that a client has sent, which may be long, or a number."""
    return name if isinstance(name, str) and len(name) <= _LONGEST_NAME else shorten(name)


def _known_types() -> str:
    return ", ".join(key.__name__ if isinstance(key, type) else repr(key) for key in _CHECKS)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_int(value) or (
        value.is_finite() if isinstance(value, Decimal) else isinstance(value, float) and math.isfinite(value)
    )


def _is_timestamp(value: Any) -> bool:
    try:
        to_milliseconds(value)
    except ValueError:
        return False
    return True


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, UUID) or (isinstance(value, str) and bool(UUID(value)))
    except ValueError:
        return False


#: Booleans are ints in Python; checks of numbers exclude them.
_CHECKS: dict[PropertyType, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, Mapping),
    "timestamp": _is_timestamp,
    "id": lambda value: isinstance(value, (str, UUID)) or _is_int(value),
    str: lambda value: isinstance(value, str),
    int: _is_int,
    float: lambda value: _is_number(value) and not isinstance(value, Decimal),
    Decimal: lambda value: _is_number(value) and not isinstance(value, float),
    bool: lambda value: isinstance(value, bool),
    datetime: lambda value: isinstance(value, datetime),
    dict: lambda value: isinstance(value, Mapping),
    list: lambda value: isinstance(value, (list, tuple)),
    UUID: _is_uuid,
}
