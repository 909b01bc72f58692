"""Lock the rows of a flush that no computation depends on, so that they keep the lock order too.

The unit of work writes rows in an order of its own, parents first, and writing a row locks it. If a flush takes other
locks, these rows are locked with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state

from ...dialects import Lock
from ..database.loaded_objects import identity_of
from ..database.session_connection import is_kept_with
from ..locking.lock_pass import LockPass
from ..plan import Key, Plan, RowReference, Source, references_of
from ..propagation.propagation import Propagation


class Others:
    """The rows of one flush that no computation depends on."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._plan: Plan = propagation.db.statements.plan
        self._is_idle = not propagation.db.dialect.has_row_locks
        self._rows: dict[Source, dict[Key, Lock]] = {}
        self._references: dict[RowReference, dict[Key, None]] = {}

    def updated(self, instance: object) -> None:
        """Record a row that will be updated."""
        self._add(instance, Lock.NO_KEY_UPDATE)

    def deleted(self, instance: object) -> None:
        """Record a row that will be deleted."""
        self._add(instance, Lock.UPDATE)

    def refers(self, instance: object) -> None:
        """Record the rows that a new or updated row refers to, and that foreign key checks will lock."""
        self._refer(instance, RowReference.key_in)

    def refers_still(self, instance: object) -> None:
        """Record the references of a row that is updated twice: PostgreSQL then checks all its foreign keys again."""
        self._refer(instance, RowReference.key_held)

    def _refer(self, instance: object, key_of: Callable[[RowReference, object], Key | None]) -> None:
        for reference in () if self._is_idle else references_of(self._plan, type(instance)):
            key = key_of(reference, instance)
            if key is not None and None not in key:
                self._references.setdefault(reference, {})[key] = None

    def _add(self, instance: object, lock: Lock) -> None:
        if self._is_idle:
            return
        state = instance_state(instance)
        mapper: Mapper[Any] = state.mapper.base_mapper
        table = mapper.local_table
        if isinstance(table, Table) and table in self._plan.places and state.key is not None:
            source = self._plan.sources.get(table) or self._propagation.db.statements.unwatched(table, mapper)
            self._rows.setdefault(source, {})[identity_of(state)] = lock

    @property
    def watched(self) -> Iterator[Source]:
        """The tables among them that are watched for changes of other columns."""
        return (source for source in self._rows if source.table in self._plan.sources)

    @property
    def written(self) -> Iterable[Source]:
        """The tables that will be written."""
        return self._rows

    @property
    def referred(self) -> Iterator[Source]:
        """The tables whose rows foreign key checks will lock."""
        return (reference.target for reference in self._references)

    def add_to(self, locks: LockPass) -> None:
        """Add the rows to the lock pass of a flush."""
        for reference, keys in self._references.items():
            for key in keys:
                locks.add_referred(reference.target, key)
        session = self._propagation.db.session
        for source, rows in self._rows.items():
            if source.mapper is None or is_kept_with(session, self._plan, source.mapper):
                locks.add_written(source, rows)
