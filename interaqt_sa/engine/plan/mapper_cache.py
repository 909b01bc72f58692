"""Cached facts about mapped classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy.orm import Mapper

T = TypeVar("T")


class ByMapper(dict[Mapper[Any], T]):
    """A cache of ``find`` by mapper; for watched classes it costs one dictionary access.

    :param is_held: whether the plan refers to a class in any case; other classes are held weakly.
    """

    def __init__(self, find: Callable[[Mapper[Any]], T], is_held: Callable[[Mapper[Any]], bool]) -> None:
        super().__init__()
        self._find = find
        self._is_held = is_held
        self._passing: WeakKeyDictionary[Mapper[Any], T] = WeakKeyDictionary()

    def __missing__(self, mapper: Mapper[Any]) -> T:
        if mapper in self._passing:
            found = self._passing[mapper]
        else:
            found = self._passing[mapper] = self._find(mapper)
        if self._is_held(mapper):
            self[mapper] = found
        return found
