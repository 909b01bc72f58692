"""Coercion of keys, which payloads and URLs carry as text, to the types of their columns."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Uuid

from ..definitions.short_repr import shorten

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


class NoKeyError(ValueError):
    """A value that cannot be stored in the column."""


def key_value(column: Any, value: Any) -> Any:
    """Return ``value`` as ``column`` stores it: text is converted for integer and UUID columns.

    :raises NoKeyError: if the text cannot be converted, or an integer has more than 64 bits.
    """
    kind = column.type
    if isinstance(kind, Integer):
        number = value
        if isinstance(value, str):
            try:
                number = int(value)
            except ValueError as error:
                raise NoKeyError(f"{shorten(value)} is not an integer") from error
        if isinstance(number, int) and not _SMALLEST <= number <= _LARGEST:
            raise NoKeyError("an integer of more than 64 bits")
        return number
    if isinstance(kind, Uuid) and kind.as_uuid and isinstance(value, str):
        try:
            return UUID(value)
        except ValueError as error:
            raise NoKeyError(f"{shorten(value)} is not a UUID") from error
    return value
