"""Reading and writing records by name, as plain dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar

from sqlalchemy.orm import Mapper, Session, class_mapper

from ..definitions.dictionary import Dictionary
from ..definitions.events import MutationEvent
from ..definitions.type_aliases import AttributeQuery, RecordRef, Where
from ..errors import FrameworkError
from ..schema.compile.dictionaries import ROW_ID, dictionary_mapper
from ..schema.filtered_lookup import base_record, on_base
from ..schema.foreign_key_relations import held_relation, is_held_relation
from ..schema.record_lookup import resolve_record
from ..schema.schema_inspection import Schema
from ..session.isolation import require_isolation
from ..session.retry import run_with_transaction_retry
from ..session.write_listeners import WriteListener, WriteListeners
from . import key_values, links, write
from .atomic import AtomicStorage
from .attributes import Modifier, parse
from .foreign_key_links import link_of_row, on_host, order_on_host, query_on_host, with_ends
from .links import resolve_relation
from .pagination import Page, check_batch
from .pruning import prune_steps
from .read import count, find, find_page
from .record_makers import Record
from .recursion import by_key, is_recursive, path_between, unrolled
from .symmetric_links import either_way
from .transaction_attempts import Beginning, Isolation, SessionFactory, plain_factory, translated_errors
from .undivided_calls import as_a_whole, told_once

R = TypeVar("R")
OrderBy: TypeAlias = Mapping[str, Literal["ASC", "DESC"]]


class Storage:
    """Read and write records by name.

    Records are passed and returned as plain dicts: neighbours are nested under the name of their relationship, the link
    to a neighbour under ``"&"``. Mapped instances and an ordinary session are used for all writes, so computed values
    are updated.

    A storage without a session uses the session of the running dispatch; elsewhere each call has a transaction of its
    own, which is committed, and repeated after a conflict.

    :param session_factory: creates sessions that the engine listens to.
    :param schema: the schema, or a function that returns it if the database is known only later.
    :param session: the session that the storage is bound to.
    :param current_session: returns the session of the running dispatch, or ``None``.
    :param listeners: the write listeners of the system.

    ::

        order = storage.create("Order", {"total": 10, "customer": {"id": 1}})
        storage.find("Order", {"customer.name": "Ann"}, attribute_query=["total", "customer.name"])
    """

    def __init__(
        self,
        session_factory: SessionFactory,
        schema: Schema | Callable[[], Schema],
        session: Session | None = None,
        *,
        current_session: Callable[[], Session | None] | None = None,
        listeners: WriteListeners | None = None,
    ) -> None:
        self._session_factory = session_factory
        self._session = session
        self._current_session = current_session
        self._schema = schema
        self._listeners = listeners
        self.dictionary = DictionaryStorage(self)
        self.atomic = AtomicStorage(self.joined)

    def __repr__(self) -> str:
        bound = "" if self._session is None else ", in a session"
        return f"Storage({self.schema!r}{bound})"

    @property
    def schema(self) -> Schema:
        """The schema of the MetaData, read-only."""
        return self._schema if isinstance(self._schema, Schema) else self._schema()

    def with_session(self, session: Session) -> Storage:
        """Return this storage bound to ``session``; the caller commits."""
        return Storage(self._session_factory, self._schema, session, listeners=self._listeners)

    def joined(self) -> Storage | None:
        """Return this storage bound to the session that its calls would use, ``None`` if each call creates one."""
        if self._session is not None:
            return self
        session = None if self._current_session is None else self._current_session()
        return None if session is None else self.with_session(session)

    def find(
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
        """Return the records that match ``match``.

        :param match: any form of :class:`.MatchExp`. Paths follow relationships; ``&`` in a path is the link to the
            record before it. A path along an x:n relationship matches if one of its records does, the same one in all
            comparisons along this path; each ``exist`` has a record of its own.
        :param attribute_query: the attributes: names, ``"*"`` for all columns, ``("customer", {"attribute_query": […],
            "match_expression": …, "modifier": {"limit": …, "offset": …, "order_by": …}})`` for neighbours, ``("&",
            {…})`` inside it for the link. The key is always included; without a query only the key is returned.
        :param limit: maximum number of records.
        :param offset: number of records to skip.
        :param order_by: ``"ASC"`` or ``"DESC"`` by attribute or x:1 path, the first one first.
        :param after: the ``cursor`` of a previous result of the same query, to continue after it. A result has a cursor
            if it has a ``limit`` and is not empty. The cost does not depend on the number of records before it, and
            records that are inserted or deleted in the meantime do not cause others to be repeated or skipped. Records
            that are equal in the order are sorted by key.
        :raises DefinitionFault: if record or attributes do not exist.
        """
        record, match = on_base(self.schema.metadata, record, match)
        if (held := held_relation(self.schema.metadata, record)) is not None:
            rows = self.find(
                held.host,
                on_host(held, match),
                attribute_query=query_on_host(held, attribute_query),
                limit=limit,
                offset=offset,
                order_by=order_on_host(held, order_by),
                after=after,
            )
            return Page([link_of_row(held, row, attribute_query) for row in rows], rows.cursor)
        mapper, match = self.mapper(record), either_way(self.schema.metadata, record, match)
        if attribute_query is not None and is_recursive(attribute_query):
            first, complete = unrolled(mapper, attribute_query)
            page = self.find(
                mapper, match, attribute_query=first, limit=limit, offset=offset, order_by=order_by, after=after
            )
            complete(page, self._read_by_key)
            return page
        selection = parse(mapper, attribute_query)
        modifier = Modifier(order_by or {}, limit, offset)
        with translated_errors(self.schema.metadata):
            if limit is None and after is None:
                return self.read(lambda session: Page(find(session, selection, match, modifier)))
            return self.read(lambda session: find_page(session, selection, match, modifier, after))

    def find_one(
        self,
        record: RecordRef,
        match: Where | None = None,
        *,
        attribute_query: AttributeQuery | None = None,
        order_by: OrderBy | None = None,
    ) -> Record | None:
        """Return the first record that :meth:`find` would return, or ``None``."""
        record, match = on_base(self.schema.metadata, record, match)
        if is_held_relation(self.schema.metadata, record) or is_recursive(attribute_query):
            page = self.find(record, match, attribute_query=attribute_query, order_by=order_by, limit=1)
            return page[0] if page else None
        mapper, match = self.mapper(record), either_way(self.schema.metadata, record, match)
        selection, modifier = parse(mapper, attribute_query), Modifier(order_by or {}, 1)
        with translated_errors(self.schema.metadata):
            found = self.read(lambda session: find(session, selection, match, modifier))
        return found[0] if found else None

    def count(self, record: RecordRef, match: Where | None = None) -> int:
        """Return the number of records that match ``match``.

        :raises DefinitionFault: if record or attributes do not exist.
        """
        record, match = on_base(self.schema.metadata, record, match)
        if (held := held_relation(self.schema.metadata, record)) is not None:
            return self.count(held.host, on_host(held, match))
        mapper, match = self.mapper(record), either_way(self.schema.metadata, record, match)
        with translated_errors(self.schema.metadata):
            return self.read(lambda session: count(session, mapper, match))

    def iterate(
        self,
        record: RecordRef,
        match: Where | None = None,
        *,
        attribute_query: AttributeQuery | None = None,
        order_by: OrderBy | None = None,
        batch: int = 1000,
    ) -> Iterator[Record]:
        """Yield the records that :meth:`find` would return, without loading all of them into memory.

        They are read in batches, with separate statements, and outside of a transaction each batch in a transaction of
        its own: changes by other transactions in the meantime may be visible or not. No record is repeated unless its
        position in the order changes.

        :param batch: number of records per batch.
        """
        check_batch(batch)

        def read(after: str | None) -> Page:
            return self.find(
                record, match, attribute_query=attribute_query, order_by=order_by, limit=batch, after=after
            )

        return _each(read, batch)

    def create(self, record: RecordRef, data: Mapping[str, Any]) -> Record:
        """Insert a record.

        A neighbour that can be related only once, and is, loses its old relation.

        :param data: attributes; a neighbour is a mapping, which refers to an existing record if it contains only the
            key, and creates one otherwise. An explicit key is kept, and the table's sequence is advanced past it.
        :return: ``data`` with the keys of all created records.
        :raises DefinitionFault: if an attribute or a referenced neighbour does not exist, or a neighbour to be created
            does.
        :raises ConstraintViolationError: if the database rejects the record.
        """
        record = base_record(self.schema.metadata, record)
        if (held := held_relation(self.schema.metadata, record)) is not None:
            return self.write(lambda session: links.create_held(session, held, data))
        mapper = self.mapper(record)
        return self.write(lambda session: write.create(session, mapper, data))

    def update(self, record: RecordRef, match: Where, data: Mapping[str, Any]) -> list[Record]:
        """Change the records that match ``match``; x:n neighbours in ``data`` replace the old ones.

        A neighbour that can be related only once, and is, loses its old relation.

        :return: for each record its key and ``data``.
        :raises DefinitionFault: as :meth:`create`; also for a key in ``data``, because keys cannot be changed.
        :raises ConstraintViolationError: if the database rejects the change.
        """
        record, match = on_base(self.schema.metadata, record, match, required=True)
        if is_held_relation(self.schema.metadata, record):
            return self.update_relation(record, match, data)
        mapper, match = self.mapper(record), either_way(self.schema.metadata, record, match)
        return self.write(lambda session: write.update(session, mapper, match, data))

    def delete(self, record: RecordRef, match: Where) -> list[Record]:
        """Delete the records that match ``match``, and their links; return their last values.

        :raises ConstraintViolationError: if other records refer to them.
        """
        record, match = on_base(self.schema.metadata, record, match, required=True)
        if is_held_relation(self.schema.metadata, record):
            return self.remove_relation(record, match)
        mapper, match = self.mapper(record), either_way(self.schema.metadata, record, match)
        return self.write(lambda session: write.delete(session, mapper, match))

    def prune(
        self, record: RecordRef | None = None, *, now: datetime | None = None, batch: int = 1000
    ) -> dict[str, int]:
        """Delete the records that need not be kept any more, by ``retention=`` of their entities.

        They are deleted in batches, each in a transaction of its own, unless the storage is bound to a transaction.

        :param record: the entity; ``None``: all entities with a retention.
        :param now: the point in time at which ages are computed, with a time zone; default: now.
        :param batch: number of records per transaction.
        :return: the number of deleted records, by the names of the entities.
        :raises DefinitionFault: if the entity does not exist, or has no retention.
        :raises ConstraintViolationError: if other records refer to one of them; the batches before it are deleted.
        """
        mapper = None if record is None else self.mapper(record)
        found: dict[str, int] = {}
        for name, step in prune_steps(self.schema.metadata, mapper, now, batch):
            found[name] = 0
            while (count := self.write(step)) > 0:
                found[name] += count
        return found

    def add_relation(
        self, relation: RecordRef, source_id: Any, target_id: Any, data: Mapping[str, Any] | None = None
    ) -> Record:
        """Relate two records; the old relation of a record that can have only one ends.

        :param data: the relation's own properties.
        :return: both keys, under ``source`` and ``target``, and the values of the relation's own row.
        :raises DefinitionFault: if the relation, a property or a record does not exist, or a target that exists only
            with its source would be left without one.
        :raises ConstraintViolationError: if the two records are already related.
        """
        metadata = self.schema.metadata
        relation = base_record(metadata, relation)
        return self.write(
            lambda session: links.add(session, metadata, relation, source_id, target_id, {} if data is None else data)
        )

    def find_relation(
        self,
        relation: RecordRef,
        match: Where | None = None,
        *,
        attribute_query: AttributeQuery | None = None,
        limit: int | None = None,
        offset: int | None = None,
        order_by: OrderBy | None = None,
    ) -> list[Record]:
        """Return the links that match ``match``, whether they are stored in a table or as a foreign key.

        :param match: on the relation's properties, ``source.…`` and ``target.…``.
        :param attribute_query: as for :meth:`find`; without it, the keys of both ends under ``source`` and ``target``,
            and the key of the link if it has one.
        :param limit: as for :meth:`find`, like ``offset`` and ``order_by``.
        :raises DefinitionFault: if the relation or attributes do not exist.
        """
        is_plain = attribute_query is None
        relation, match = on_base(self.schema.metadata, relation, match)
        found = resolve_relation(self.schema.metadata, relation)
        asked = ("source_id", "target_id") if is_plain and isinstance(found, Mapper) else attribute_query
        rows = self.find(relation, match, attribute_query=asked, limit=limit, offset=offset, order_by=order_by)
        return [with_ends(row) for row in rows] if is_plain else rows

    def find_path(self, record: RecordRef, start_id: Any, end_id: Any, relation: RecordRef) -> list[Record]:
        """Return the records on a shortest path between two records of the same kind, including both.

        It needs one statement for each step, however many records there are; cycles end.

        :param relation: the property to follow, such as ``"staff"``; or a relation, which is followed from its source
            to its target, and in both directions if it is symmetric.
        :return: all attributes of each record; an empty list if there is no path.
        :raises DefinitionFault: if the relation does not exist, or does not lead to records of the same kind.
        """
        mapper = self.mapper(record)
        attribute = relation if isinstance(relation, str) and relation in mapper.relationships else None
        if attribute is None:
            attribute = links.relation_definition(self.schema.metadata, relation).source_property
        return path_between(mapper, start_id, end_id, attribute, self._read_by_key)

    def _read_by_key(self, mapper: Mapper[Any], keys: Iterable[Any], query: list[Any]) -> list[Record]:
        return self.find(mapper, by_key(mapper, keys), attribute_query=query)

    def update_relation(self, relation: RecordRef, match: Where, data: Mapping[str, Any]) -> list[Record]:
        """Change the properties of links.

        :param match: a match on the relation: ``{"source.id": 1, "target.id": 2}``.
        :return: the key and ``data`` of each link.
        :raises DefinitionFault: if the relation or a property does not exist, or ``data`` contains an end, which never
            changes.
        """
        relation, match = on_base(self.schema.metadata, relation, match, required=True)
        match = either_way(self.schema.metadata, relation, match)
        return self.write(lambda session: links.update_links(session, self.schema.metadata, relation, match, data))

    def remove_relation(self, relation: RecordRef, match: Where) -> list[Record]:
        """End relations.

        :param match: a match on the relation: ``{"source.id": 1, "target.id": 2}``.
        :return: the relations that ended.
        :raises DefinitionFault: if the relation does not exist, or a target exists only with its source.
        """
        relation, match = on_base(self.schema.metadata, relation, match, required=True)
        match = either_way(self.schema.metadata, relation, match)
        return self.write(lambda session: links.remove(session, self.schema.metadata, relation, match))

    def get(self, concept: str, key: str, initial: Any = None) -> Any:
        """Return the value that :meth:`set` has written, or ``initial`` if there is none.

        :param concept: the namespace of the key; the same key may be used in several concepts.
        """
        metadata = self.schema.metadata
        return self.read(lambda session: key_values.get_value(session, metadata, concept, key, initial))

    def set(self, concept: str, key: str, value: Any) -> None:
        """Write a JSON value, which may be ``None``.

        :raises InvalidValueError: if ``concept`` or ``key`` is not a string, or JSON cannot represent the value.
        """
        metadata = self.schema.metadata
        self.write(lambda session: key_values.set_value(session, metadata, concept, key, value))

    def run_in_transaction(
        self,
        fn: Callable[[Storage], R],
        *,
        name: str | None = None,
        isolation: Isolation = "READ COMMITTED",
    ) -> R:
        """Run ``fn(storage)`` in one transaction; inside another transaction it is a part of that one.

        :param name: name for error messages.
        :param isolation: the minimum isolation level. A new transaction begins with it; an outer transaction with a
            weaker level has to be restarted.
        :return: the result of ``fn`` in the attempt that was committed.
        :raises RequireSerializableRetry: if it is a part of a weaker transaction. An enclosing dispatch,
            ``run_in_transaction()`` or :func:`.run_with_transaction_retry` then starts again at SERIALIZABLE.
        :raises TransactionRetryExhaustedError: if every attempt had a conflict.
        """
        title = name or str(getattr(fn, "__name__", "transaction"))
        if (joined := self.joined()) is not None:
            joined.read(lambda session: require_isolation(session, isolation, title))
            return fn(joined)
        begin = Beginning(isolation)

        def work(session: Session) -> R:
            begin.set(session)
            with begin.watched():
                return fn(self.with_session(session))

        work.__name__ = title
        with translated_errors(self.schema.metadata):
            return run_with_transaction_retry(plain_factory(self._session_factory), work)

    def listen(self, callback: Callable[[Storage, tuple[MutationEvent, ...]], None]) -> WriteListener:
        """Call ``callback(storage, events)`` after each write of the system's sessions, until ``.remove()``.

        It is called once for each flush, bulk statement and call of a storage, inside their transaction, with all their
        changes, including the rows that the engine has written because of them. ``storage`` is bound to the session;
        its writes are passed to the callback too. Rows have the values stored in the database. An error rolls the write
        back.

        :return: the handle, whose ``remove()`` unregisters the callback.
        :raises FrameworkError: if the storage belongs to no system.
        """
        if self._listeners is None:
            raise FrameworkError("this storage belongs to no system, and hears of no writes; use that of a System")
        return self._listeners.add(lambda session, events: callback(self.with_session(session), events))

    def mapper(self, record: RecordRef) -> Mapper[Any]:
        """Return the mapper of a record.

        :raises DefinitionFault: if there is no such record.
        """
        # class_mapper() configures mappers: an unconfigured class has no relationships
        return class_mapper(resolve_record(self.schema.metadata, record).class_)

    def read(self, work: Callable[[Session], R]) -> R:
        """Run ``work`` with the current session, or with a new one."""
        if (joined := self.joined()) is not None:
            assert joined._session is not None
            return work(joined._session)
        with plain_factory(self._session_factory)() as session:
            return work(session)

    def write(self, work: Callable[[Session], R]) -> R:
        """Run ``work`` with the current session, or in a transaction of its own.

        :raises ConstraintViolationError: instead of the database's error for a violated constraint.
        """
        metadata = self.schema.metadata
        with translated_errors(metadata):
            if (joined := self.joined()) is not None:
                return joined.read(lambda session: as_a_whole(session, metadata, work))
            return self.run_in_transaction(lambda storage: storage.read(lambda session: told_once(session, work)))


def _each(read: Callable[[str | None], Page], batch: int) -> Iterator[Record]:
    page = read(None)
    while True:
        yield from page
        if len(page) < batch:
            return
        page = read(page.cursor)


class DictionaryStorage:
    """The values of dictionaries: ``storage.dictionary``."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, dictionary: str | Dictionary) -> Any:
        """Return the value of a dictionary.

        :raises DefinitionFault: if there is no such dictionary.
        """
        mapper = dictionary_mapper(self._storage.schema.metadata, dictionary)
        found = self._storage.find_one(mapper, {"id": ROW_ID}, attribute_query=["value"])
        return None if found is None else found["value"]

    def set(self, dictionary: str | Dictionary, value: Any) -> None:
        """Set the value of a dictionary; computed values are refused.

        :raises DefinitionFault: if there is no such dictionary.
        """
        mapper = dictionary_mapper(self._storage.schema.metadata, dictionary)
        if not self._storage.update(mapper, {"id": ROW_ID}, {"value": value}):
            self._storage.create(mapper, {"id": ROW_ID, "value": value})
