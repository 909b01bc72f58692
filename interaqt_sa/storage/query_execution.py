"""Run the statements of a query, and convert their rows to records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from itertools import islice
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection
from sqlalchemy.orm import Mapper, Session

from ..dialects.base import named
from ..session import cursor_execution
from .attributes import LINK
from .pagination import Record
from .query_plan import KEYS, Branch, Layout, Level, Query

Row: TypeAlias = Sequence[Any]

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

    def run(self) -> tuple[list[Record], Sequence[Row]]:
        """Return the records, with all nested neighbours, and the rows of the root."""
        rows = self._rows(self._query.root, self._given)
        records = _made(self._query.layout, rows)
        self._complete(self._query.layout, records, rows)
        return records, rows

    def _rows(self, level: Level, given: Mapping[str, Any]) -> Sequence[Row]:
        if self._connection is not None and level.text is not None:
            return cursor_execution.run_cached(self._connection, level.text, given)
        return self._session.execute(level.statement, given).all()

    def _complete(self, layout: Layout, records: Sequence[Record], rows: Sequence[Row]) -> None:
        """Add the requested neighbours to ``records``."""
        for name, part in layout.parts.items():
            if isinstance(part, Layout):
                self._put_joined(name, part, records, rows)
            else:
                self._put_found(name, part, layout, records, rows)

    def _put_joined(self, name: str, part: Layout, records: Sequence[Record], rows: Sequence[Row]) -> None:
        names, start, stop, key = part.names, part.start, part.start + len(part.names), part.key[0]
        found: list[Record] = []
        with_neighbour: list[Row] = []
        for record, row in zip(records, rows, strict=True):
            if row[key] is None:
                record[name] = None
                continue
            neighbour = record[name] = dict(zip(names, row[start:stop], strict=True))
            if part.parts:
                found.append(neighbour)
                with_neighbour.append(row)
        self._complete(part, found, with_neighbour)

    def _put_found(
        self, name: str, branch: Branch, layout: Layout, records: Sequence[Record], rows: Sequence[Row]
    ) -> None:
        keys = _keys(layout.key, rows)
        wanted = dict.fromkeys(keys)
        groups: dict[Any, list[Record]] = {}
        for found in self._of_parents(branch, wanted):
            neighbours = _made(branch.layout, found)
            if branch.link is not None:
                links = _made(branch.link, found)
                for neighbour, link in zip(neighbours, links, strict=True):
                    neighbour[LINK] = link
                self._complete(branch.link, links, found)
            self._complete(branch.layout, neighbours, found)
            for key, neighbour in zip(_keys(branch.parent_key, found), neighbours, strict=True):
                group = groups.get(key)
                if group is None:
                    groups[key] = [neighbour]
                else:
                    group.append(neighbour)
        repeats = len(wanted) < len(keys)
        given: set[Any] = set()
        for key, record in zip(keys, records, strict=True):
            group = groups.get(key, [])
            if repeats:
                # a record that occurs twice in the result gets separate neighbours each time
                group = [_copied(neighbour) for neighbour in group] if key in given else group
                given.add(key)
            if branch.is_list:
                # two records never share a list, not even an empty one
                record[name] = group
            else:
                record[name] = group[0] if group else None

    def _of_parents(self, branch: Branch, keys: Iterable[Any]) -> Iterator[Sequence[Row]]:
        """Yield the rows of the neighbours of the records with ``keys``."""
        if branch.shape is None:
            waiting = iter(keys)
            while chunk := list(islice(waiting, _CHUNK)):
                yield self._rows(branch.level, {**self._given, named(KEYS): chunk})
            return
        packed = list(keys) if len(branch.shape) > 1 else [(key,) for key in keys]
        if packed:
            given = self._query.parameters.operations.pack(KEYS, branch.shape, packed)
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


def _made(layout: Layout, rows: Iterable[Row]) -> list[Record]:
    names, start = layout.names, layout.start
    if not start:
        return [dict(zip(names, row, strict=False)) for row in rows]
    stop = start + len(names)
    return [dict(zip(names, row[start:stop], strict=True)) for row in rows]


def _keys(places: Sequence[int], rows: Iterable[Row]) -> list[Any]:
    if len(places) == 1:
        (place,) = places
        return [row[place] for row in rows]
    return [tuple(row[place] for place in places) for row in rows]


def _copied(value: Any) -> Any:
    kind = cast("Any", type(value))
    if kind in _UNCHANGING:
        return value
    if kind is dict:
        return {key: _copied(part) for key, part in value.items()}
    return [_copied(part) for part in value] if kind is list else deepcopy(value)
