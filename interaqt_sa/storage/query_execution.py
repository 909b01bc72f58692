"""Run the statements of a query, and convert their rows to records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.orm import Mapper, Session

from ..dialects.base import named
from ..session import cursor_execution
from .attributes import LINK
from .query_plan import KEYS, Branch, Level, Query
from .record_makers import Converts, Layout, Record, Row

#: number of parents per statement if their keys are not one parameter, because databases limit parameters
_CHUNK = 500
_UNCHANGING = frozenset({int, str, float, bool, type(None), bytes})


class QueryExecution:
    """Runs the statements of one query in the transaction of a session.

    The session must have been flushed before.

    :param mapper: the class that determines the database.
    :param given: the parameters of the statements.
    """

    def __init__(self, session: Session, mapper: Mapper[Any], query: Query, given: Mapping[str, Any]) -> None:
        self._session = session
        self._query = query
        self._given = given
        self._connection = self._direct_connection(mapper)

    def _direct_connection(self, mapper: Mapper[Any]) -> Connection | None:
        """Return the connection whose cursor runs the statements; ``None`` if the session itself has to."""
        session, query = self._session, self._query
        if query.parameters.has_lists or query.root.text is not None:
            bind_arguments = {"mapper": mapper, "clause": query.root.statement}
            connection = session.connection(bind_arguments=bind_arguments)
            if query.parameters.has_lists:
                query.parameters.operations.prepare(connection)
            if query.root.text is not None and not is_watched(session, connection):
                return connection
        return None

    def run(self) -> tuple[list[Record], Row | None]:
        """Return the records, with all nested neighbours, and the position of the last one in the order."""
        root, count = self._query.root, self._query.order_values
        rows, converts = self._rows(root, self._given)
        records = root.shape.makers(converts).records(rows)
        self._complete(root.shape.layout, records)
        return records, _last(rows, converts, count) if count and rows else None

    def _rows(self, level: Level, given: Mapping[str, Any]) -> tuple[Sequence[Row], Converts | None]:
        """Return the rows of a statement, with the conversions that they still need."""
        if self._connection is not None and level.text is not None:
            rows = cursor_execution.run_unconverted(self._connection, level.text, given)
            return rows, level.text.converts
        return self._session.execute(level.statement, given).all(), None

    def _complete(self, layout: Layout, records: Sequence[Record]) -> None:
        """Add the requested neighbours that separate statements find to ``records``."""
        for name, part in layout.parts.items():
            if isinstance(part, Branch):
                self._add_found(name, part, layout.key_names, records)
            elif isinstance(part, Layout) and part.parts:
                self._complete(part, [neighbour for record in records if (neighbour := record[name]) is not None])

    def _add_found(self, name: str, branch: Branch, key: Sequence[str], records: Sequence[Record]) -> None:
        keys = _keys(key, records)
        groups: dict[Any, list[Record]]
        if branch.is_list:
            groups = {key: record[name] for key, record in zip(keys, records, strict=True)}
        else:
            groups = {key: [] for key in keys}
        shape = branch.level.shape
        for rows, converts in self._of_parents(branch, groups):
            makers = shape.makers(converts)
            neighbours = makers.records(rows)
            if shape.link is not None and shape.link.parts:
                self._complete(shape.link, [neighbour[LINK] for neighbour in neighbours])
            if shape.layout.parts:
                self._complete(shape.layout, neighbours)
            for parent, neighbour in zip(makers.parents(rows), neighbours, strict=True):
                if (group := groups.get(parent)) is not None:
                    group.append(neighbour)
        if not branch.is_list:
            _put_single(name, keys, records, groups)
        elif len(groups) < len(keys):
            _put_copies(name, keys, records, groups)

    def _of_parents(self, branch: Branch, keys: Iterable[Any]) -> Iterator[tuple[Sequence[Row], Converts | None]]:
        """Yield the rows of the neighbours of the records with ``keys``."""
        if branch.keys is None:
            waiting = iter(list(keys))
            while chunk := list(islice(waiting, _CHUNK)):
                yield self._rows(branch.level, {**self._given, named(KEYS): chunk})
            return
        packed = list(keys) if len(branch.keys) > 1 else [(key,) for key in keys]
        if packed:
            given = self._query.parameters.operations.pack(KEYS, branch.keys, packed)
            yield self._rows(branch.level, {**self._given, **given})


def is_watched(session: Session, connection: Connection) -> bool:
    """Whether the session has to run the statements, so that its listeners receive them."""
    runs_itself: Any = type(session).execute
    options: Mapping[str, Any] = getattr(session, "execution_options", {})
    return bool(
        runs_itself is not Session.execute
        or options
        or any(map(cursor_execution.is_of_others, session.dispatch.do_orm_execute))
        or cursor_execution.is_observed(connection, options)
    )


def _last(rows: Sequence[Row], converts: Converts | None, count: int) -> Row:
    """Return the last ``count`` values of the last row."""
    row = rows[-1]
    first = len(row) - count
    values = {place: row[place] for place in range(first, len(row))}
    return [converts[place](v) if converts and place in converts else v for place, v in values.items()]


def _keys(names: Sequence[str], records: Iterable[Record]) -> list[Any]:
    if len(names) == 1:
        (name,) = names
        return [record[name] for record in records]
    return [tuple(record[name] for name in names) for record in records]


def _put_single(
    name: str, keys: Iterable[Any], records: Iterable[Record], groups: Mapping[Any, Sequence[Record]]
) -> None:
    given: set[Any] = set()
    for key, record in zip(keys, records, strict=True):
        if group := groups[key]:
            record[name] = _copied(group[0]) if key in given else group[0]
            given.add(key)


def _put_copies(
    name: str, keys: Iterable[Any], records: Iterable[Record], groups: Mapping[Any, Sequence[Record]]
) -> None:
    """Give records that occur several times in the result separate neighbours each time."""
    for key, record in zip(keys, records, strict=True):
        if record[name] is not (group := groups[key]):
            record[name] = [_copied(neighbour) for neighbour in group]


def _copied(value: Any) -> Any:
    kind = cast("Any", type(value))
    if kind in _UNCHANGING:
        return value
    if kind is dict:
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if kind is list else deepcopy(value)
