"""Compute values for rows that exist: in batches, resumable, beside other writers."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Column, Connection, MetaData, Table, insert, inspect, select, update

from ..definitions.computation import ENGINE_OPTIONS, info_of
from ..engine.derived_check import backfill_derivation
from ..engine.plan import Plan
from ..engine.recompute import backfill_batch
from ..schema.dictionaries import DICTIONARY_KEY, ROW_ID
from .defaults import DEFAULT, defaulted_column, fill_default
from .dependencies import derivations, with_dependents
from .operations import Backfill
from .state import DONE, RUNNING, WAITING, metadatas, state_table

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext

# a child of Alembic's own logger: shown by every alembic.ini
log = logging.getLogger("alembic.interaqt_sa")

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Job:
    """What a back-fill does.

    :ivar table: the table whose rows it goes through.
    :ivar reads: the tables that it may touch.
    :ivar step: fills the next rows after a key and returns the last key, ``None`` when there was nothing left.
    """

    name: str
    fingerprint: str
    table: Table
    step: Callable[[Connection, Key | None, int], Key | None]

    reads: frozenset[Table]

    @classmethod
    def of(cls, operation: Backfill, metadata: MetaData) -> Job | None:
        """Return what ``operation`` means by the models, ``None`` if they do not declare it that way."""
        if operation.fingerprint == DEFAULT:
            column = defaulted_column(metadata, operation.name)
            if column is None:
                return None
            return cls(operation.name, DEFAULT, column.table, partial(fill_default, column), frozenset())
        plan = Plan.of(metadata)
        # writing a value or a row may be felt by any other that is computed
        reads = frozenset(plan.sources)
        derivation, value = derivations(plan).get(operation.name), plan.computed.get(operation.name)
        if derivation is not None and derivation.fingerprint == operation.fingerprint:
            assert derivation.origin is not None
            table: Any = derivation.origin.local_table
            return cls(operation.name, operation.fingerprint, table, partial(backfill_derivation, derivation), reads)
        if value is not None and value.fingerprint == operation.fingerprint:
            return cls(operation.name, operation.fingerprint, value.table, partial(backfill_batch, value), reads)
        return None

    def is_ready(self, connection: Connection) -> bool:
        """Whether the database has every column of the tables that the job may touch."""
        inspector = inspect(connection)
        for table in self.reads:
            if not inspector.has_table(table.name, schema=table.schema):
                return False
            existing = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
            if not existing.issuperset(column.name for column in table.columns):
                return False
        return True


def run_backfill(context: MigrationContext, connection: Connection, operation: Backfill) -> None:
    """Run ``operation`` in the migration ``context``.

    What the revision has done before is committed first, so that every batch can be a transaction of its own and other
    sessions see the column. In a transaction that belongs to the caller of Alembic nothing can be committed; there the
    back-fill becomes a part of it.
    """
    targets = metadatas(context.opts.get("target_metadata"))
    job = next((job for metadata in targets if (job := Job.of(operation, metadata)) is not None), None)
    if job is None:
        log.info("Back-fill of %s skipped: the models do not declare it this way any more", operation.name)
        return
    state = state_table(targets[0])
    if not job.is_ready(connection):
        log.info("Back-fill of %s waits: the models are ahead of this revision", operation.name)
        _begin(connection, state, job, WAITING)
        return
    # Alembic does not tell otherwise whose transaction it is in
    if context._in_external_transaction:  # pyright: ignore[reportPrivateUsage]
        backfill(lambda: nullcontext(connection), state, job, operation.batch)
        return
    options = dict(connection.get_execution_options())
    options.pop("isolation_level", None)

    @contextmanager
    def transaction() -> Generator[Connection]:
        with connection.engine.connect() as own, own.execution_options(**options).begin():
            yield own

    with context.autocommit_block():
        backfill(transaction, state, job, operation.batch)


def backfill(transaction: Callable[[], AbstractContextManager[Connection]], state: Table, job: Job, batch: int) -> None:
    """Fill all rows of a table.

    Values and cursor of a batch are committed together. A second runner waits for the lock on the state's row and
    takes the next batch.

    :param transaction: gives a context manager: a connection in a transaction that is committed at its end.
    :param state: see :func:`.state_table`.
    :param job: what to do.
    :param batch: rows per transaction.
    """
    codec = KeyCodec(tuple(job.table.primary_key.columns))
    name = state.c.name == job.name
    with transaction() as connection:
        _begin(connection, state, job, RUNNING)
        _ensure_dictionary_row(connection, job.table)
    last: Key | None = None
    batches = 0
    while True:
        with transaction() as connection:
            # an UPDATE because it is the one way to lock a row that all databases share
            connection.execute(update(state).where(name).values(phase=RUNNING))
            cursor = connection.scalar(select(state.c.cursor).where(name))
            last = job.step(connection, codec.load(cursor) or last, batch)
            if last is None:
                connection.execute(update(state).where(name).values(phase=DONE, cursor=None))
                break
            connection.execute(update(state).where(name).values(cursor=codec.dump(last)))
        batches += 1
        key = ", ".join(f"{column.name}={part}" for column, part in zip(codec.columns, last, strict=True))
        log.info("Back-fill of %s: batch %s of up to %s rows done, up to %s", job.name, batches, batch, key)
    log.info("Back-fill of %s done", job.name)


def _begin(connection: Connection, state: Table, job: Job, phase: str) -> None:
    """Write the row of a back-fill, unless it was interrupted and can go on."""
    name = state.c.name == job.name
    fresh = {"fingerprint": job.fingerprint, "phase": phase, "cursor": None}
    if connection.execute(update(state).where(name).values(name=job.name)).rowcount == 0:
        connection.execute(insert(state).values(name=job.name, **fresh))
        return
    interrupted = (state.c.fingerprint == job.fingerprint) & (state.c.phase == RUNNING)
    connection.execute(update(state).where(name, ~interrupted).values(fresh))


def run_waiting(context: MigrationContext, connection: Connection) -> None:
    """Run the back-fills that had to wait, if the database has what they need now."""
    targets = metadatas(context.opts.get("target_metadata"))
    state = state_table(targets[0])
    statement = select(state.c.name, state.c.fingerprint).where(state.c.phase == WAITING)
    waiting = {name: Backfill(name, fingerprint) for name, fingerprint in connection.execute(statement)}
    for metadata in targets:
        for value in with_dependents(Plan.of(metadata), waiting.keys() & Plan.of(metadata).computed.keys()):
            if value.name in waiting:
                run_backfill(context, connection, waiting[value.name])
        for name in derivations(Plan.of(metadata)):
            if name in waiting:
                run_backfill(context, connection, waiting[name])


def _ensure_dictionary_row(connection: Connection, table: Table) -> None:
    """Insert the one row of a dictionary; ``create_all`` does it by an event that a migration does not fire."""
    if DICTIONARY_KEY in info_of(table) and connection.scalar(select(table.c.id)) is None:
        connection.execute(insert(table).values(id=ROW_ID), execution_options=ENGINE_OPTIONS)


class KeyCodec:
    """Primary keys as text.

    Keys of types that are not listed are not kept: a back-fill that is interrupted begins anew.
    """

    _load: dict[type, Callable[[Any], Any]] = {  # noqa: RUF012  never changed
        int: int,
        str: str,
        UUID: UUID,
        Decimal: Decimal,
        datetime: datetime.fromisoformat,
        date: date.fromisoformat,
        time: time.fromisoformat,
        bytes: bytes.fromhex,
    }

    def __init__(self, columns: Sequence[Column[Any]]) -> None:
        self.columns = columns
        self._types = [_python_type(column) for column in columns]

    def dump(self, key: Key) -> str | None:
        """Return ``key`` as text."""
        if any(
            type_ not in self._load or not isinstance(item, type_) for type_, item in zip(self._types, key, strict=True)
        ):
            return None
        return json.dumps([_dump(item) for item in key])

    def load(self, text: str | None) -> Key | None:
        """Return the key that :meth:`dump` made ``text`` of."""
        if text is None:
            return None
        return tuple(self._load[type_](item) for type_, item in zip(self._types, json.loads(text), strict=True))


def _dump(item: Any) -> Any:
    if isinstance(item, (date, time)):
        return item.isoformat()
    if isinstance(item, bytes):
        return item.hex()
    return item if isinstance(item, (int, str)) else str(item)


def _python_type(column: Column[Any]) -> type:
    try:
        return column.type.python_type
    except NotImplementedError:
        return object
