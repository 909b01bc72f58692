"""Argument types shared by the definitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import ColumnElement

if TYPE_CHECKING:
    from .match import MatchExp

#: A record: its name, its definition or its mapped class.
RecordRef: TypeAlias = Any
#: Condition over members; see :class:`.Count`.
Where: TypeAlias = "MatchExp | Mapping[str, Any] | ColumnElement[bool] | Callable[[Any], ColumnElement[bool]]"
AttributeQuery: TypeAlias = Sequence[Any]
#: Function of a member; with ``data_deps`` its second argument has their values.
Callback: TypeAlias = Callable[[Any], Any] | Callable[[Any, Mapping[str, Any]], Any]
