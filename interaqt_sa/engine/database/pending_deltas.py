"""Rows that a write touches, and the deltas that are still to be applied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column

from ...dialects import Lock
from ...dialects.running_sum_type import add_exactly
from ..plan import Hop, Key

#: host key followed by one number for each running column
Row = tuple[Any, ...]


@dataclass
class Touched:
    """Rows of one table that are about to be written.

    :ivar keys: keys with the lock of each row; ``None``: no lock.
    :ivar columns: the columns that may change; ``None`` if the rows are deleted.
    """

    keys: dict[Key, Lock | None] = field(default_factory=dict)
    columns: set[Column[Any]] | None = field(default_factory=set)

    def add(self, key: Key, lock: Lock | None, columns: Iterable[Column[Any]] | None) -> None:
        self.keys[key] = max(lock or Lock.KEY_SHARE, self.keys.get(key) or Lock.KEY_SHARE) if lock else None
        if columns is None or self.columns is None:
            self.columns = None
        else:
            self.columns.update(columns)

    def reaches(self, inputs: set[Column[Any]]) -> bool:
        """Whether a change may affect a computation that reads ``inputs``."""
        return self.columns is None or bool(self.columns & inputs)


@dataclass
class PendingDelta:
    """The delta still to be applied over one edge: NEW(ids) - OLD(ids), where OLD is in ``rows`` already.

    :ivar ids: contributing rows whose new contribution is read when the hosts are updated.
    :ivar rows: known numbers to be added.
    :ivar keys: hosts that ``ids`` will contribute to, as far as they are known in memory; ``None``: unknown.
    :ivar unlocked: written rows of ``ids`` that may refer to neighbours that are not locked.
    :ivar beyond: hops beyond a written row, with the rows of ``ids`` whose paths use them.
    """

    ids: dict[Key, None] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    keys: set[Key] | None = field(default_factory=set)
    unlocked: dict[Key, None] = field(default_factory=dict)
    beyond: dict[Hop, dict[Key, None]] = field(default_factory=dict)

    def expect(self, key: Key | None) -> None:
        """Record that some of ``ids`` will contribute to host ``key``; ``None`` if the host is unknown."""
        if key is None:
            self.keys = None
        elif self.keys is not None and None not in key:
            self.keys.add(key)

    def mark(self) -> tuple[int, int]:
        """Return the current size; see :meth:`back_to`."""
        return len(self.ids), len(self.rows)

    def back_to(self, mark: tuple[int, int]) -> None:
        """Remove the rows and contributions that were added since :meth:`mark`."""
        ids, rows = mark
        for key in list(self.ids)[ids:]:
            del self.ids[key]
        del self.rows[rows:]


def folded(rows: list[Row], width: int, *, keep_zero: bool) -> list[Row]:
    """Sum the deltas of the same host; deltas of zero are dropped unless ``keep_zero``."""
    sums: dict[Key, list[Any]] = {}
    for row in rows:
        found = sums.get(row[:width])
        if found is None:
            sums[row[:width]] = list(row[width:])
        else:
            for i, number in enumerate(row[width:]):
                found[i] = add_exactly(found[i], number)
    return [(*key, *numbers) for key, numbers in sums.items() if keep_zero or any(numbers)]
