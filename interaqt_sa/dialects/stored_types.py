"""The type of a column in the database, under the decorators that the application put around it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.types import TypeDecorator, TypeEngine


def stored_type(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type under any decorators of ``type_``."""
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl_instance
    return type_
