"""Which rows a check or a repair visits, in batches, and how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, func, literal, select, tuple_

from ...definitions.short_repr import shorten
from ...errors import DefinitionFault
from ..computations.recompute import next_keys
from ..plan import ComputedValue, Key, Source
from ..propagation.propagation import Propagation

#: rows per statement, and per transaction of a repair
BATCH = 1000


@dataclass(frozen=True)
class KeyRange:
    """Rows of a table from one primary key to another, both included, for :meth:`.System.check`.

    :param first: the first key, a tuple if it is composite; ``None``: from the beginning.
    :param last: the last key; ``None``: to the end.

    ::

        system.check(Customer, keys=KeyRange(1, 100_000))
    """

    first: Any = None
    last: Any = None

    def criteria(self, columns: Sequence[Column[Any]]) -> list[ColumnElement[bool]]:
        """Return the criteria of the range over the columns of the key.

        :raises DefinitionFault: if one of its keys has not as many parts.
        """
        found: list[ColumnElement[bool]] = []
        if self.first is not None:
            left, right = _compared(columns, _key(self.first))
            found.append(left >= right)
        if self.last is not None:
            left, right = _compared(columns, _key(self.last))
            found.append(left <= right)
        return found


#: the rows to check: their primary keys, a range of them, or all
Keys: TypeAlias = Iterable[Any] | KeyRange | None


@dataclass(frozen=True)
class CheckProgress:
    """How far a check or repair of one table is.

    :ivar record: the record whose rows are visited.
    :ivar done: the number of rows visited so far.
    :ivar total: the number of rows to visit, counted at the beginning.
    """

    record: str
    done: int
    total: int


#: called after each batch
Report: TypeAlias = Callable[[CheckProgress], object]


def key_batches(
    propagation: Propagation, value: ComputedValue, keys: Keys, report: Report | None
) -> Iterator[list[Key]]:
    """Yield the primary keys of the rows to visit, in batches.

    :param value: one of the values of the table.
    :param report: called after each batch was worked off.
    """
    source = propagation.db.statements.plan.sources[value.table]
    columns: tuple[Column[Any], ...] = tuple(source.key_in(value.table))
    listed = None if keys is None or isinstance(keys, KeyRange) else [_key(key) for key in keys]
    bounds = keys.criteria(columns) if isinstance(keys, KeyRange) else []
    batches = _read(propagation, source, columns, bounds) if listed is None else _divided(listed)
    total = 0
    if report is not None:
        total = _count(propagation, source, columns, bounds) if listed is None else len(listed)
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        if report is not None:
            report(CheckProgress(value.record, done, max(total, done)))


def _read(
    propagation: Propagation, source: Source, columns: Sequence[Column[Any]], bounds: Sequence[ColumnElement[bool]]
) -> Iterator[list[Key]]:
    after: Key | None = None
    while batch := next_keys(propagation, source, columns, after, BATCH, lock=False, bounds=bounds):
        yield batch
        after = batch[-1]


def _divided(keys: Sequence[Key]) -> Iterator[list[Key]]:
    yield from (list(keys[i : i + BATCH]) for i in range(0, len(keys), BATCH))


def _count(
    propagation: Propagation, source: Source, columns: Sequence[Column[Any]], bounds: Sequence[ColumnElement[bool]]
) -> int:
    statement = select(func.count()).select_from(columns[0].table).where(*bounds)
    ((total,),) = propagation.db.execute(source, statement, {})
    return int(total)


def _key(key: Any) -> Key:
    return key if isinstance(key, tuple) else (key,)


def _compared(columns: Sequence[Column[Any]], key: Key) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    if len(key) != len(columns):
        names = ", ".join(column.name for column in columns)
        raise DefinitionFault(
            f"KeyRange: the primary key of {columns[0].table.name!r} is ({names}), of which {shorten(key)} has not all "
            f"parts; give {'one value' if len(columns) == 1 else 'a tuple'}"
        )
    values = [literal(value, column.type) for value, column in zip(key, columns, strict=True)]
    return (columns[0], values[0]) if len(columns) == 1 else (tuple_(*columns), tuple_(*values))
