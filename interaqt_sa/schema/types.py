"""Column types of properties."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Double, Numeric, Text, Uuid
from sqlalchemy.types import TypeEngine, to_instance

from ..definitions.records import PropertyType
from ..dialects.column_types import AwareDateTime, Timestamp, id_type, json_type
from ..errors import DefinitionFault

_TYPES: dict[str | type[Any], Any] = {
    "string": Text,
    "number": Double,
    "boolean": Boolean,
    "timestamp": Timestamp,
    "object": json_type,
    "id": id_type,
    str: Text,
    int: BigInteger,  # Python's integers and sums of them outgrow 32 bits
    float: Double,
    Decimal: Numeric,
    bool: Boolean,
    datetime: AwareDateTime,
    dict: json_type,
    list: json_type,
    UUID: Uuid,
}


def property_type(declared: PropertyType, *, collection: bool = False) -> TypeEngine[Any]:
    """Return the column type of a property.

    :param declared: one of the names, Python types or SQLAlchemy types that :class:`.Property` accepts.
    :param collection: whether the property is a list of such values, stored as JSON.
    :raises DefinitionFault: if there is no such type.
    """
    found = _declared_type(declared)
    return json_type() if collection else found


def _declared_type(declared: Any) -> TypeEngine[Any]:
    if issubclass(declared if isinstance(declared, type) else type(declared), TypeEngine):
        try:
            return to_instance(declared)
        except (AssertionError, TypeError) as error:
            raise DefinitionFault(f"type {declared!r} needs arguments; give an instance of it: {error}") from error
    if isinstance(declared, (str, type)) and declared in _TYPES:
        found: TypeEngine[Any] = _TYPES[declared]()
        return found
    words = ", ".join(repr(known) if isinstance(known, str) else known.__name__ for known in _TYPES)
    raise DefinitionFault(f"there is no type {declared!r}; give one of {words}, or a SQLAlchemy type")
