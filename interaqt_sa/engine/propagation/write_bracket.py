"""The bracket of a write: lock, read old images, write, read new images, notify the observers.

Whatever writes rows goes through it: flushes, DML statements, upserts, storage, rows that the engine writes itself,
repair and back-fill. They differ only in who makes the :class:`Write`.
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

    :ivar touched: by their table, with the lock that each needs and the columns that may change.
    :ivar locks: the locks of the write, if more is known than ``touched`` says.
    :ivar classes: the classes of rows that are known by them.
    :ivar named: rows of one class, whichever rows ``touched`` names.
    :ivar found: rows that have been read already, by the columns of their class.
    """

    touched: Mapping[Source, Touched]
    locks: LockPass | None = None
    classes: Classes | None = None
    named: NamedRows | None = None
    found: Found | None = None


class Changed(NamedTuple):
    """Rows that have been updated by a statement, so that only the database knows what they hold.

    :ivar columns: what was written; ``None`` if that is not known.
    """

    source: Source
    keys: Iterable[Key]
    columns: set[Column[Any]] | None = None


class WriteObserver(Protocol):
    """Takes part in every write."""

    def before(self, write: Write) -> None:
        """Look at rows before they are written."""
        ...

    def after(self, changed: Iterable[Changed]) -> None:
        """Look at what has come of them."""
        ...


class _Contributions:
    """Rows are locked, and what they contribute is subtracted; what they contribute afterwards is pending."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation

    def before(self, write: Write) -> None:
        if write.touched or write.locks:
            self._propagation.before(write.touched, write.locks)

    def after(self, changed: Iterable[Changed]) -> None:
        for rows in changed:
            self._propagation.moved(rows.source, rows.keys, rows.columns)


class _RowFunctions:
    """Values of the same row follow."""

    def __init__(self, propagation: Propagation) -> None:
        self._db = propagation.db

    def before(self, write: Write) -> None:
        """Nothing: the functions see the row as it is stored afterwards."""

    def after(self, changed: Iterable[Changed]) -> None:
        for source, keys, _ in changed:
            if source.same_row and (listed := list(keys)):
                refresh_same_row(self._db, source, listed)


class _Images:
    """Rows are compared with what they were, and the difference is told."""

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
    """One write, from the locks before it to what it leaves pending.

    :ivar written: its rows as they were; says also which rows depend on them.

    ::

        bracket = WriteBracket(propagation)
        bracket.open(Write({source: Touched(…)}))
        …  # the write itself
        bracket.close(Changed(source, keys))
    """

    def __init__(self, propagation: Propagation) -> None:
        self.written = WrittenRows(propagation)
        self._observers: tuple[WriteObserver, ...] = (
            _Contributions(propagation),
            _RowFunctions(propagation),
            _Images(self.written),
        )

    def open(self, write: Write) -> None:
        """Lock rows and look at them; may be called again while more rows turn out to be written."""
        for observer in self._observers:
            observer.before(write)

    def close(self, *changed: Changed) -> None:
        """Look at what has come of all rows.

        :param changed: those that a statement has updated.
        """
        for observer in self._observers:
            observer.after(changed)
