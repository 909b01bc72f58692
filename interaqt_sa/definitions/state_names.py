"""Conversion of state names to column values and stored texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Enum
from sqlalchemy.types import TypeEngine


def state_in_column(name: str, type_: TypeEngine[Any]) -> Any:
    """Return the value that a read of a column returns for a state: its name, or a member of the column's Enum.

    :param type_: the type of the column. A state may have the stored text, the name or the value of an Enum member.
    """
    text = state_text(name, type_)
    if text is None or not isinstance(type_, Enum) or type_.enum_class is None:
        return name
    return type_._object_lookup[text]  # pyright: ignore[reportPrivateUsage]


def state_text(name: str, type_: TypeEngine[Any]) -> str | None:
    """Return the text that a column stores for a state; ``None`` if its Enum has no such member."""
    if not isinstance(type_, Enum):
        return name
    if name in type_.enums:
        return name
    members: Mapping[str, Any] = type_.enum_class.__members__ if type_.enum_class is not None else {}
    found = members.get(name) or next((m for m in members.values() if str(m.value) == name), None)
    return None if found is None else type_._valid_lookup.get(found)  # pyright: ignore[reportPrivateUsage]
