"""The bracket of a write: lock, read old images, write, read new images, notify the observers.

Every write of rows goes through it: flushes, DML statements, upserts, storage, rows that the engine writes itself,
repair and back-fill. They differ only in the code that creates the :class:`Write`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Column
from sqlalchemy.orm import Mapper

from ..database.pending_deltas import Touched
from ..database.same_row_functions import refresh_same_row
from ..locking.lock_pass import LockPass
from ..plan import Key, Source
from .fixed_scopes import FixedScopes
from .propagation import Propagation
from .written_rows import Classes, Found, WrittenRows


class NamedRows(NamedTuple):
    """Rows that are written as instances of a class."""

    source: Source
    mapper: Mapper[Any]
    keys: Iterable[Key]


@dataclass(frozen=True)
class Write:
    """Rows that are about to be written together.

    :ivar touched: rows by source, with the lock that each needs and the columns that may change.
    :ivar locks: the lock pass of the write, if it includes more than ``touched``.
    :ivar classes: the classes of rows, as far as they are known.
    :ivar named: rows written as instances of one class, in addition to ``touched``.
    :ivar found: rows that have been read already, with the stored columns of their class.
    """

    touched: Mapping[Source, Touched]
    locks: LockPass | None = None
    classes: Classes | None = None
    named: NamedRows | None = None
    found: Found | None = None


class Changed(NamedTuple):
    """Rows that were updated by a statement, so that their values are known only to the database.

    :ivar columns: the written columns; ``None`` if they are not known.
    """

    source: Source
    keys: Iterable[Key]
    columns: set[Column[Any]] | None = None


class WriteObserver(Protocol):
    """Called before and after every write."""

    def before(self, write: Write) -> None:
        """Handle rows that are about to be written."""
        ...

    def after(self, changed: Iterable[Changed]) -> None:
        """Handle the rows after the write."""
        ...


class _Contributions:
    """Locks rows and subtracts their old contributions; the new contributions are read when the deltas are applied."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation

    def before(self, write: Write) -> None:
        if write.touched or write.locks:
            self._propagation.before(write.touched, write.locks)

    def after(self, changed: Iterable[Changed]) -> None:
        for rows in changed:
            self._propagation.moved(rows.source, rows.keys, rows.columns)


class _Scopes:
    """Refuses changes of the scopes of numbered rows."""

    def __init__(self, scopes: FixedScopes) -> None:
        self.fixed = scopes

    def before(self, write: Write) -> None:
        self.fixed.remember(write.touched)

    def after(self, changed: Iterable[Changed]) -> None:
        self.fixed.require_unchanged()


class _RowFunctions:
    """Recomputes same-row values."""

    def __init__(self, propagation: Propagation) -> None:
        self._db = propagation.db

    def before(self, write: Write) -> None:
        """Do nothing: the functions of a row are called with its values after the write."""

    def after(self, changed: Iterable[Changed]) -> None:
        for source, keys, _ in changed:
            if source.same_row and (listed := list(keys)):
                refresh_same_row(self._db, source, listed)


class _Images:
    """Compares the old and new images of rows and publishes the differences."""

    def __init__(self, written: WrittenRows) -> None:
        self._written = written

    def before(self, write: Write) -> None:
        if write.named is not None:
            source, mapper, keys = write.named
            self._written.remember_rows(source, mapper, keys, (write.found or {}).get(source))
        found = write.locks.found if write.locks is not None else None
        self._written.remember(write.touched, write.classes, found)

    def after(self, changed: Iterable[Changed]) -> None:
        self._written.follow()
        self._written.tell()


class WriteBracket:
    """One write, from the locks before it to the deltas that it leaves pending.

    :param completes: whether it completes rows that have just been inserted and are not told yet, so that there is
        nothing to tell.
    :ivar written: the old images of its rows, and the rows that change with them.
    :ivar scopes: the scopes of numbered rows, which must not change.

    ::

        bracket = WriteBracket(propagation)
        bracket.open(Write({source: Touched(…)}))
        …  # the write itself
        bracket.close(Changed(source, keys))
    """

    def __init__(self, propagation: Propagation, *, completes: bool = False) -> None:
        self.written = WrittenRows(propagation)
        self._observers: tuple[WriteObserver, ...] = (_Contributions(propagation), _RowFunctions(propagation))
        self.scopes = FixedScopes(propagation.db)
        if propagation.db.statements.plan.numberings:
            self._observers += (_Scopes(self.scopes),)
        if not completes:
            self._observers += (_Images(self.written),)

    def open(self, write: Write) -> None:
        """Lock rows and read their old images; may be called again for rows that are found later."""
        for observer in self._observers:
            observer.before(write)

    def close(self, *changed: Changed) -> None:
        """Read the new images of all rows.

        :param changed: the rows that a statement has updated.
        """
        for observer in self._observers:
            observer.after(changed)
