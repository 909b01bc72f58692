"""Neighbours in data: with only their key they refer to a record, otherwise they create one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Mapper

from ..definitions.short_repr import shorten
from ..errors import InvalidValueError
from ..schema.key_coercion import NoKeyError, key_value
from ..schema.record_lookup import record_name
from .attributes import LINK, key_attributes


class Inserted(dict[str, Any]):
    """Data of a record whose row has been inserted already, by its natural key.

    :ivar instance: the record.
    """

    def __init__(self, data: Mapping[str, Any], instance: Any) -> None:
        super().__init__(data)
        self.instance = instance


def without_link(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of the neighbour itself, without that of the link to it."""
    found = {name: part for name, part in value.items() if name != LINK}
    return Inserted(found, value.instance) if isinstance(value, Inserted) else found


def is_reference(target: Mapper[Any], value: Mapping[str, Any]) -> bool:
    """Whether ``value`` is a key of ``target`` and nothing more."""
    return has_key(target, value) and len(value) == len(key_attributes(target))


def has_key(target: Mapper[Any], value: Mapping[str, Any]) -> bool:
    """Whether ``value`` contains the whole key of ``target``."""
    return all(name in value for name in key_attributes(target))


def key_of(target: Mapper[Any], value: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the key in ``value``."""
    return tuple(column_key(target, name, value[name]) for name in key_attributes(target))


def column_key(mapper: Mapper[Any], name: str, value: Any) -> Any:
    """Return a key in the form of its column.

    :raises InvalidValueError: if it cannot be a key.
    """
    try:
        return key_value(mapper.column_attrs[name].columns[0], value)
    except NoKeyError as error:
        raise InvalidValueError(
            f"{record_name(mapper)}.{name}: {shorten(value)} cannot be a key: {error}",
            record=record_name(mapper),
            property=name,
            code="INVALID_KEY",
        ) from error
