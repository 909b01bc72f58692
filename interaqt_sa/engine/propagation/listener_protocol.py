"""Interface of the listener to row events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy.orm import Mapper

if TYPE_CHECKING:
    from ..plan import Key


#: rows of several classes, by their keys
RowsByClass = Mapping[Mapper[Any], Mapping["Key", Mapping[str, Any]]]


class Listener(Protocol):
    """Receives the changes of rows; see :class:`.Mutations`."""

    @property
    def hears_all(self) -> bool: ...
    def wanted(self, mapper: Mapper[Any]) -> bool: ...
    def has_reactions(self, mapper: Mapper[Any]) -> bool: ...
    def created(self, mapper: Mapper[Any], rows: Iterable[Mapping[str, Any]]) -> None: ...
    def updated(self, mapper: Mapper[Any], pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None: ...
    def deleted(self, mapper: Mapper[Any], rows: Iterable[Mapping[str, Any]]) -> None: ...
    def changed(self, old: RowsByClass, new: RowsByClass) -> None: ...
    def react(self) -> bool: ...
