"""The asynchronous storage, which runs the synchronous one inside the greenlet of an ``AsyncSession``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from ..definitions.dictionary import Dictionary
from ..definitions.events import MutationEvent
from ..definitions.type_aliases import AttributeQuery, RecordRef, Where
from ..schema.schema_inspection import Schema
from ..session.isolation import require_isolation
from ..session.retry import run_with_transaction_retry
from ..session.write_listeners import WriteListener
from .async_atomic import AsyncAtomicStorage
from .pagination import Page, check_batch
from .pruning import prune_steps
from .record_makers import Record
from .storage import OrderBy, Storage
from .transaction_attempts import Beginning, Isolation, translated_errors

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
    from sqlalchemy.orm import Session

R = TypeVar("R")


class AsyncStorage:
    """:class:`.Storage` with coroutine methods; see there for their description.

    :param session_factory: creates sessions that the engine listens to.
    :param storage: the synchronous storage, whose binding to a session applies here too.
    """

    def __init__(self, session_factory: async_sessionmaker[Any], storage: Storage) -> None:
        self._session_factory = session_factory
        self._storage = storage
        self.dictionary = AsyncDictionaryStorage(self)
        self.atomic = AsyncAtomicStorage(storage.atomic)

    def __repr__(self) -> str:
        return f"Async{self._storage!r}"

    @property
    def schema(self) -> Schema:
        """The schema of the MetaData, read-only."""
        return self._storage.schema

    def with_session(self, session: AsyncSession) -> AsyncStorage:
        """Return this storage bound to ``session``; the caller commits."""
        return AsyncStorage(self._session_factory, self._storage.with_session(session.sync_session))

    async def find(
        self,
        record: RecordRef,
        match: Where | None = None,
        *,
        attribute_query: AttributeQuery | None = None,
        limit: int | None = None,
        offset: int | None = None,
        order_by: OrderBy | None = None,
        after: str | None = None,
    ) -> Page:
        """Return the records that match ``match``; see :meth:`.Storage.find`."""
        return await self.read(
            lambda storage: storage.find(
                record,
                match,
                attribute_query=attribute_query,
                limit=limit,
                offset=offset,
                order_by=order_by,
                after=after,
            )
        )

    async def find_one(
        self,
        record: RecordRef,
        match: Where | None = None,
        *,
        attribute_query: AttributeQuery | None = None,
        order_by: OrderBy | None = None,
    ) -> Record | None:
        """Return the first record that :meth:`find` would return, or ``None``."""
        return await self.read(
            lambda storage: storage.find_one(record, match, attribute_query=attribute_query, order_by=order_by)
        )

    async def count(self, record: RecordRef, match: Where | None = None) -> int:
        """Return the number of records that match ``match``; see :meth:`.Storage.count`."""
        return await self.read(lambda storage: storage.count(record, match))

    async def iterate(
        self,
        record: RecordRef,
        match: Where | None = None,
        *,
        attribute_query: AttributeQuery | None = None,
        order_by: OrderBy | None = None,
        batch: int = 1000,
    ) -> AsyncIterator[Record]:
        """Yield the records that :meth:`find` would return, in batches; see :meth:`.Storage.iterate`."""
        check_batch(batch)
        cursor = None
        while True:
            page = await self.find(
                record, match, attribute_query=attribute_query, order_by=order_by, limit=batch, after=cursor
            )
            for found in page:
                yield found
            if len(page) < batch:
                return
            cursor = page.cursor

    async def create(self, record: RecordRef, data: Mapping[str, Any]) -> Record:
        """Insert a record; see :meth:`.Storage.create`."""
        return await self.write(lambda storage: storage.create(record, data))

    async def update(self, record: RecordRef, match: Where, data: Mapping[str, Any]) -> list[Record]:
        """Change the records that match ``match``; see :meth:`.Storage.update`."""
        return await self.write(lambda storage: storage.update(record, match, data))

    async def delete(self, record: RecordRef, match: Where) -> list[Record]:
        """Delete the records that match ``match``; see :meth:`.Storage.delete`."""
        return await self.write(lambda storage: storage.delete(record, match))

    async def prune(
        self, record: RecordRef | None = None, *, now: datetime | None = None, batch: int = 1000
    ) -> dict[str, int]:
        """Delete the records that need not be kept any more, in batches; see :meth:`.Storage.prune`."""
        mapper = None if record is None else self._storage.mapper(record)
        found: dict[str, int] = {}
        for name, step in prune_steps(self.schema.metadata, mapper, now, batch):
            found[name] = 0
            while (count := await self.write(partial(Storage.write, work=step))) > 0:
                found[name] += count
        return found

    async def add_relation(
        self, relation: RecordRef, source_id: Any, target_id: Any, data: Mapping[str, Any] | None = None
    ) -> Record:
        """Relate two records; see :meth:`.Storage.add_relation`."""
        return await self.write(lambda storage: storage.add_relation(relation, source_id, target_id, data))

    async def find_relation(
        self,
        relation: RecordRef,
        match: Where | None = None,
        *,
        attribute_query: AttributeQuery | None = None,
        limit: int | None = None,
        offset: int | None = None,
        order_by: OrderBy | None = None,
    ) -> list[Record]:
        """Return the links that fulfil ``match``; see :meth:`.Storage.find_relation`."""
        return await self.read(
            lambda storage: storage.find_relation(
                relation, match, attribute_query=attribute_query, limit=limit, offset=offset, order_by=order_by
            )
        )

    async def find_path(self, record: RecordRef, start_id: Any, end_id: Any, relation: RecordRef) -> list[Record]:
        """Return the records on a way from one to another; see :meth:`.Storage.find_path`."""
        return await self.read(lambda storage: storage.find_path(record, start_id, end_id, relation))

    async def update_relation(self, relation: RecordRef, match: Where, data: Mapping[str, Any]) -> list[Record]:
        """Change the properties of links; see :meth:`.Storage.update_relation`."""
        return await self.write(lambda storage: storage.update_relation(relation, match, data))

    async def remove_relation(self, relation: RecordRef, match: Where) -> list[Record]:
        """End relations; see :meth:`.Storage.remove_relation`."""
        return await self.write(lambda storage: storage.remove_relation(relation, match))

    async def get(self, concept: str, key: str, initial: Any = None) -> Any:
        """Return the value that :meth:`set` has written; see :meth:`.Storage.get`."""
        return await self.read(lambda storage: storage.get(concept, key, initial))

    async def set(self, concept: str, key: str, value: Any) -> None:
        """Write a value; see :meth:`.Storage.set`."""
        await self.write(lambda storage: storage.set(concept, key, value))

    async def run_in_transaction(
        self,
        fn: Callable[[AsyncStorage], Awaitable[R]],
        *,
        name: str | None = None,
        isolation: Isolation = "READ COMMITTED",
    ) -> R:
        """Await ``fn(storage)`` in one transaction; see :meth:`.Storage.run_in_transaction`."""
        title = name or str(getattr(fn, "__name__", "transaction"))
        if (joined := self._storage.joined()) is not None:

            def require(session: Session) -> None:
                require_isolation(session, isolation, title)

            await greenlet_spawn(joined.read, require)
            return await fn(AsyncStorage(self._session_factory, joined))
        begin = Beginning(isolation)

        async def work(session: AsyncSession) -> R:
            await session.run_sync(begin.set)
            with begin.watched():
                return await fn(self.with_session(session))

        work.__name__ = title
        with translated_errors(self.schema.metadata):
            return await run_with_transaction_retry(self._session_factory, work)

    def listen(
        self, callback: Callable[[AsyncStorage, tuple[MutationEvent, ...]], Awaitable[None] | None]
    ) -> WriteListener:
        """Call, or await, ``callback(storage, events)`` after each write; see :meth:`.Storage.listen`."""

        def hear(storage: Storage, events: tuple[MutationEvent, ...]) -> None:
            found = callback(AsyncStorage(self._session_factory, storage), events)
            if found is not None:
                await_only(found)

        return self._storage.listen(hear)

    async def read(self, work: Callable[[Storage], R]) -> R:
        """Run ``work`` with the synchronous storage on the current session, or on a new one."""
        if (joined := self._storage.joined()) is not None:
            return await greenlet_spawn(work, joined)
        session: AsyncSession = self._session_factory()
        storage = self._storage.with_session(session.sync_session)

        def work_and_close() -> R:
            with session.sync_session:
                return work(storage)

        # closed inside the greenlet: AsyncSession.close() creates a task, which costs as much as a statement
        return await greenlet_spawn(work_and_close)

    async def write(self, work: Callable[[Storage], R]) -> R:
        """Run ``work`` with the synchronous storage on the current session, or in a transaction of its own."""
        return await self.run_in_transaction(lambda storage: storage.read(work))


class AsyncDictionaryStorage:
    """The values of dictionaries: ``storage.dictionary``."""

    def __init__(self, storage: AsyncStorage) -> None:
        self._storage = storage

    async def get(self, dictionary: str | Dictionary) -> Any:
        """Return the value of a dictionary; see :meth:`.DictionaryStorage.get`."""
        return await self._storage.read(lambda storage: storage.dictionary.get(dictionary))

    async def set(self, dictionary: str | Dictionary, value: Any) -> None:
        """Set the value of a dictionary; see :meth:`.DictionaryStorage.set`."""
        await self._storage.write(lambda storage: storage.dictionary.set(dictionary, value))
