"""The type of a column in the database, under the decorators that the application put around it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import TypeDecorator, TypeEngine


def stored_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type under any decorators of ``type_``."""
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    return type_


def is_alike(one: TypeEngine[Any], other: TypeEngine[Any]) -> bool:
    """Whether two types are of one kind for SQLAlchemy, such as two lengths of text."""
    return one._type_affinity is other._type_affinity


def binds_in_sql(type_: TypeEngine[Any]) -> bool:
    """Whether values of a type are converted by SQL around each parameter."""
    return type_._has_bind_expression
