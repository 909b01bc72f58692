"""Operations that no other transaction can interrupt: ``storage.atomic``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Protocol, TypeVar

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, Numeric, func, select, update
from sqlalchemy.orm import Mapper, Session

from ..definitions.computation import computation_of
from ..definitions.short_repr import shorten
from ..definitions.type_aliases import RecordRef, Where
from ..dialects import dialect_class
from ..dialects.undecorated_types import stored_type
from ..errors import ComputedWriteError, DefinitionFault, InvalidValueError, TransactionCapabilityError
from ..schema.compile.system_tables import counters_table, values_mapper
from ..schema.filtered_lookup import base_record, on_base
from ..schema.record_lookup import record_name
from ..schema.schema_inspection import Schema
from ..schema.value_checks import checked_value
from .attributes import unknown_attribute
from .natural_keys import refuse_natural_key
from .read import dialect_of
from .record_makers import Record
from .row_locks import key_of_id, lock_record, lock_rows, locked_by_key, where_key
from .scoped_ranges import reserve_in_scope

R = TypeVar("R")


class StorageInTransaction(Protocol):
    """A storage bound to a session."""

    atomic: AtomicStorage

    @property
    def schema(self) -> Schema: ...

    def mapper(self, record: RecordRef) -> Mapper[Any]: ...

    def write(self, work: Callable[[Session], R]) -> R: ...


class AtomicStorage:
    """Reads and writes of single values, and locks, inside a transaction.

    Its writes are ordinary writes, so values computed from them are updated. Its methods can be called on the storage
    of a dispatch, of ``run_in_transaction()`` or of a session. Locked rows stay locked until the transaction ends;
    transactions that lock several should do so in the same order.

    :param joined: returns the storage of the transaction that a call belongs to, ``None`` if there is none.

    ::

        def book(storage):
            if storage.atomic.increment("Flight", flight_id, "seats", -1) < 0:
                raise SoldOut

        storage.run_in_transaction(book)
    """

    def __init__(self, joined: Callable[[], StorageInTransaction | None]) -> None:
        self._joined = joined

    def inside(self, operation: str) -> StorageInTransaction:
        """Return the storage of the transaction that a call belongs to.

        :raises TransactionCapabilityError: if it belongs to none.
        """
        joined = self._joined()
        if joined is None:
            raise TransactionCapabilityError(
                f"storage.atomic.{operation}() is one step of a transaction, and there is none here: call it on the "
                "storage of storage.run_in_transaction(lambda storage: …), of a dispatch, or of with_session()",
                operation=operation,
            )
        return joined

    def get(self, record: RecordRef, id: Any, attribute: str) -> Any:
        """Return the value of an attribute that the database has now.

        :raises DefinitionFault: if there is no such record or attribute.
        """

        def work(session: Session, mapper: Mapper[Any]) -> Any:
            session.flush()
            column = _column(mapper, attribute)
            row = session.execute(select(column).where(*where_key(mapper, mapper.class_, id))).one_or_none()
            if row is None:
                raise _missing(mapper, id)
            return row[0]

        return self._run("get", record, work)

    def increment(self, record: RecordRef, id: Any, attribute: str, by: float | Decimal = 1) -> Any:
        """Add to a number; NULL counts as 0.

        :param by: the amount to add; it may be negative.
        :return: the new value.
        :raises DefinitionFault: if there is no such record or attribute, or it is not a number.
        :raises ComputedWriteError: if it is computed.
        """

        def work(session: Session, mapper: Mapper[Any]) -> Any:
            column = _writable(mapper, attribute)
            delta = _checked_delta(session, mapper, attribute, by)
            total = func.coalesce(column, 0, type_=column.type) + delta
            return self._write(session, mapper, id, attribute, total)

        return self._run("increment", record, work)

    def replace(self, record: RecordRef, id: Any, attribute: str, value: Any) -> Any:
        """Write a value.

        :return: the old value; if several transactions replace it, each gets a different one.
        :raises DefinitionFault: if there is no such record or attribute.
        :raises ComputedWriteError: if it is computed.
        """

        def work(session: Session, mapper: Mapper[Any]) -> Any:
            fresh = _checked(session, mapper, attribute, value)
            old = self._locked_value(session, mapper, id, attribute)
            self._write(session, mapper, id, attribute, fresh)
            return old

        return self._run("replace", record, work)

    def compare_and_set(self, record: RecordRef, id: Any, attribute: str, expected: Any, value: Any) -> bool:
        """Write a value if the old one equals ``expected``; ``None`` is NULL, and JSON is compared by its content.

        :return: whether the value was written.
        :raises DefinitionFault: if there is no such record or attribute.
        :raises ComputedWriteError: if it is computed.
        """

        def work(session: Session, mapper: Mapper[Any]) -> bool:
            fresh = _checked(session, mapper, attribute, value)
            known = _checked(session, mapper, attribute, expected)
            if self._locked_value(session, mapper, id, attribute) != known:
                return False
            self._write(session, mapper, id, attribute, fresh)
            return True

        return self._run("compare_and_set", record, work)

    def lock_record(self, record: RecordRef, id: Any) -> Record | None:
        """Lock a record against all other transactions, until this one ends.

        :return: its current attributes; ``None`` if there is no such record.
        """
        return self._run("lock_record", record, lambda session, mapper: lock_record(session, mapper, id))

    def lock_rows(self, record: RecordRef, match: Where, limit: int | None = None) -> list[Record]:
        """Lock the records that match ``match``, in the order of their keys.

        :param limit: the maximum number of records.
        :return: the attributes of the records that still match once they are locked.
        """
        metadata = self.inside("lock_rows").schema.metadata
        record, match = on_base(metadata, record, match, required=True)
        return self._run("lock_rows", record, lambda session, mapper: lock_rows(session, mapper, match, limit))

    def reserve_sequence_range(self, name: str, count: int, *, scope: Mapping[str, Any] | None = None) -> range:
        """Take the next ``count`` numbers of a counter, which starts at 1 and is created when it is first used.

        The numbers have no gaps: the counter is locked until the transaction ends, and a rollback returns them.

        :param scope: the values that identify a counter of the :class:`.ScopedSequence` ``name``, by the names in its
            ``scope``; the numbers are in its steps, and no row will get them.
        :raises InvalidValueError: if ``count`` is less than 1, or there is no such sequence or scope.
        """
        joined = self.inside("reserve_sequence_range")
        metadata = joined.schema.metadata
        _check_count(count)
        if scope is not None:
            return joined.write(lambda session: reserve_in_scope(session, metadata, name, scope, count))
        return joined.write(lambda session: _reserve(session, metadata, name, count))

    def _run(self, operation: str, record: RecordRef, work: Callable[[Session, Mapper[Any]], R]) -> R:
        joined = self.inside(operation)
        mapper = joined.mapper(base_record(joined.schema.metadata, record))
        return joined.write(lambda session: work(session, mapper))

    @staticmethod
    def _locked_value(session: Session, mapper: Mapper[Any], id: Any, attribute: str) -> Any:
        _writable(mapper, attribute)
        found = locked_by_key(session, mapper, id, [attribute])
        if found is None:
            raise _missing(mapper, id)
        return found[0]

    @staticmethod
    def _write(session: Session, mapper: Mapper[Any], id: Any, attribute: str, value: Any) -> Any:
        cls = mapper.class_
        statement = update(cls).where(*where_key(mapper, cls, id)).values({attribute: value})
        column = _column(mapper, attribute)
        row = session.execute(
            statement.returning(column), execution_options={"synchronize_session": "fetch"}
        ).one_or_none()
        if row is None:
            raise _missing(mapper, id)
        # an expression expires the attribute of a loaded record until it is used, which may be too late
        known = session.identity_map.get(mapper.identity_key_from_primary_key(key_of_id(mapper, id)))
        if known is not None:
            session.refresh(known, [attribute])
        return row[0]


def _column(mapper: Mapper[Any], attribute: Any) -> Any:
    if not isinstance(attribute, str) or attribute not in mapper.column_attrs:
        raise unknown_attribute(mapper, str(attribute), mapper.column_attrs.keys())
    return getattr(mapper.class_, attribute)


def _writable(mapper: Mapper[Any], attribute: Any) -> Any:
    """Return the attribute of a column that is neither computed nor a key."""
    found = _column(mapper, attribute)
    column = mapper.column_attrs[attribute].columns[0]
    record = record_name(mapper)
    if (computation := computation_of(column)) is not None:
        raise ComputedWriteError(
            f"{record}.{attribute} is computed by {computation!r}; write what it is computed from",
            record=record,
            property=attribute,
        )
    if not isinstance(column, Column) or column.primary_key or column.foreign_keys:
        raise DefinitionFault(
            f"{record}.{attribute} is a key or an expression, and not written by storage.atomic; use storage.update()",
            record=record,
            property=attribute,
        )
    refuse_natural_key(mapper, {attribute: None})
    return found


def _checked(session: Session, mapper: Mapper[Any], attribute: str, value: Any) -> Any:
    _writable(mapper, attribute)
    column = mapper.column_attrs[attribute].columns[0]
    return checked_value(column, value, dialect_of(session, mapper), record=record_name(mapper), name=attribute)


def _checked_delta(session: Session, mapper: Mapper[Any], attribute: str, by: Any) -> Any:
    type_: Any = stored_type(mapper.column_attrs[attribute].columns[0].type)
    record = record_name(mapper)
    if not isinstance(type_, (Integer, Numeric, Float)) or isinstance(type_, Boolean):
        raise DefinitionFault(
            f"{record}.{attribute} is {type_!r}, to which nothing can be added", record=record, property=attribute
        )
    if isinstance(by, bool) or not isinstance(by, (int, float, Decimal)) or not math.isfinite(by):
        raise InvalidValueError(
            f"{record}.{attribute}: by= is a number, not {shorten(by)}",
            record=record,
            property=attribute,
            code="INVALID_ARGUMENT",
        )
    return _checked(session, mapper, attribute, by)


def _missing(mapper: Mapper[Any], id: Any) -> DefinitionFault:
    return DefinitionFault(f"there is no {record_name(mapper)} with the key {shorten(id)}", record=record_name(mapper))


def _check_count(count: Any) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count < 2**62:
        raise InvalidValueError(f"count is a number from 1 on, not {shorten(count)}", code="INVALID_ARGUMENT")


def _reserve(session: Session, metadata: MetaData, name: Any, count: int) -> range:
    table = counters_table(metadata)
    dialect = dialect_of(session, values_mapper(metadata))
    if not isinstance(name, str):
        raise InvalidValueError(f"the name of a counter is a text, not {shorten(name)}", code="INVALID_ARGUMENT")
    checked_value(table.c.name, name, dialect, record=table.name, name="name", code="INVALID_ARGUMENT")
    bind = {"mapper": values_mapper(metadata)}
    insert = dialect_class(dialect).insert(table).values(name=name, last=count)
    found = session.execute(
        insert.on_conflict_do_update(index_elements=[table.c.name], set_={"last": table.c.last + count}).returning(
            table.c.last
        ),
        bind_arguments=bind,
    )
    last = int(found.scalar_one())
    return range(last - count + 1, last + 1)
