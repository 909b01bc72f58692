"""The asynchronous version of ``storage.atomic``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy.util import greenlet_spawn

from ..definitions.type_aliases import RecordRef, Where
from .atomic import AtomicStorage
from .record_makers import Record

R = TypeVar("R")


class AsyncAtomicStorage:
    """:class:`.AtomicStorage` with coroutines as methods, which are described there."""

    def __init__(self, atomic: AtomicStorage) -> None:
        self._atomic = atomic

    async def get(self, record: RecordRef, id: Any, attribute: str) -> Any:
        """Return the value of an attribute; see :meth:`.AtomicStorage.get`."""
        return await self._run("get", lambda atomic: atomic.get(record, id, attribute))

    async def increment(self, record: RecordRef, id: Any, attribute: str, by: float | Decimal = 1) -> Any:
        """Add to a number; see :meth:`.AtomicStorage.increment`."""
        return await self._run("increment", lambda atomic: atomic.increment(record, id, attribute, by))

    async def replace(self, record: RecordRef, id: Any, attribute: str, value: Any) -> Any:
        """Write a value and return the old one; see :meth:`.AtomicStorage.replace`."""
        return await self._run("replace", lambda atomic: atomic.replace(record, id, attribute, value))

    async def compare_and_set(self, record: RecordRef, id: Any, attribute: str, expected: Any, value: Any) -> bool:
        """Write a value if the old one equals ``expected``; see :meth:`.AtomicStorage.compare_and_set`."""
        return await self._run(
            "compare_and_set", lambda atomic: atomic.compare_and_set(record, id, attribute, expected, value)
        )

    async def lock_record(self, record: RecordRef, id: Any) -> Record | None:
        """Lock a record; see :meth:`.AtomicStorage.lock_record`."""
        return await self._run("lock_record", lambda atomic: atomic.lock_record(record, id))

    async def lock_rows(self, record: RecordRef, match: Where, limit: int | None = None) -> list[Record]:
        """Lock records in the order of their keys; see :meth:`.AtomicStorage.lock_rows`."""
        return await self._run("lock_rows", lambda atomic: atomic.lock_rows(record, match, limit))

    async def reserve_sequence_range(self, name: str, count: int, *, scope: Mapping[str, Any] | None = None) -> range:
        """Take the next numbers of a counter; see :meth:`.AtomicStorage.reserve_sequence_range`."""
        return await self._run(
            "reserve_sequence_range", lambda atomic: atomic.reserve_sequence_range(name, count, scope=scope)
        )

    async def _run(self, operation: str, work: Callable[[AtomicStorage], R]) -> R:
        return await greenlet_spawn(work, self._atomic.inside(operation).atomic)
