"""The type of a column below its type decorators."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import TypeDecorator, TypeEngine


def stored_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type below all decorators of ``type_``."""
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    return type_


def is_alike(one: TypeEngine[Any], other: TypeEngine[Any]) -> bool:
    """Whether two types have the same type affinity in SQLAlchemy, such as strings of different lengths."""
    return one._type_affinity is other._type_affinity


def binds_in_sql(type_: TypeEngine[Any]) -> bool:
    """Whether a type has a bind expression, SQL that converts each parameter."""
    return type_._has_bind_expression
