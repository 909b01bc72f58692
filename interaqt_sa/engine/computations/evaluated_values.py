"""Values that functions of the application compute from declared data: evaluated whenever the data changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import singledispatch
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Column, Table

from ...definitions.computation import Computation
from ...dialects import Lock
from ...errors import ComputationError
from ...schema.value_checks import may_be_stored
from ...session.isolation import isolation_of
from ..database.input_rows import InputRow, read_inputs
from ..database.pending_deltas import PendingDelta, Row, Touched
from ..database.same_row_functions import refuses_none
from ..database.update_by_key import store_values
from ..database.value_round_trip import as_stored, same_value
from ..plan import Edge, Host, Key
from ..propagation.write_bracket import Changed, NamedRows, Write, WriteBracket

if TYPE_CHECKING:
    from ..plan import ComputedValue
    from ..propagation.propagation import Propagation

#: the number of hosts whose data is in memory at the same time
_BATCH = 1000


class Occasion(NamedTuple):
    """The circumstances of an evaluation.

    :ivar dispatch: the context of the running dispatch.
    :ivar isolation: the isolation level of the transaction.
    :ivar now: the current time; ``None`` in a check, which evaluates for the time at which a value was stored.
    """

    dispatch: Any
    isolation: str
    now: datetime | None


@singledispatch
def evaluate(
    computation: Computation[Any], value: ComputedValue, row: InputRow, occasion: Occasion
) -> Mapping[Column[Any], Any] | None:
    """Return the values of a host, by :attr:`.ComputedValue.running`; ``None`` to leave the stored ones."""
    raise TypeError(f"no function is registered to evaluate {computation!r}")


class EvaluatedUpdates:
    """The evaluation of such values in one propagation.

    A host is locked, and its data is read by later statements; so of several transactions that change data of one host,
    the last one to lock it reads what all of them have written.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation

    def run(self, host: Host, deltas: Mapping[Edge, PendingDelta]) -> None:
        """Evaluate the values of hosts whose data has changed, each once."""
        changed: dict[ComputedValue, dict[tuple[Column[Any], ...], set[Key]]] = {}
        for edge, delta in deltas.items():
            targets = self._changed_hosts(edge, delta)
            for part in edge.parts if targets else ():
                by_columns = changed.setdefault(part.value, {})
                by_columns.setdefault(edge.host_key, set()).update(targets)
        if not changed:
            return
        reader, together = self._propagation.reader, dict[tuple[Column[Any], ...], set[Key]]()
        for by_columns in changed.values():
            for columns, targets in by_columns.items():
                together.setdefault(columns, set()).update(targets)
        locked = reader.lock_targets(host, together)  # all of them in one order
        for value, by_columns in changed.items():
            is_known = len(changed) == 1
            store_evaluated(self._propagation, value, locked if is_known else reader.lock_targets(host, by_columns))

    def _changed_hosts(self, edge: Edge, delta: PendingDelta) -> set[Key]:
        """Lock the rows that members read, and return the hosts whose data has changed over an edge."""
        reader, width = self._propagation.reader, len(edge.key)
        if delta.unlocked:
            reader.lock_neighbours(edge, list(delta.unlocked), edge.hops)
        for hop, keys in delta.beyond.items():
            reader.lock_neighbours(edge, list(keys), (hop,))
        ids = list(delta.ids)
        now = reader.contributions(edge, ids) if ids else []
        before, after = (_counted(rows, width) for rows in (delta.rows, now))
        return {row[0] for row in (*(before - after), *(after - before))}


def _counted(rows: Iterable[Row], width: int) -> Counter[tuple[Key, Any]]:
    """Count equal rows of members by host key and data; values such as lists, which have no hash, as their text."""
    members = ((row[:width], row[width:]) for row in rows if row[width] is not None and None not in row[:width])
    return Counter((key, data if _has_hash(data) else repr(data)) for key, data in members)


def _has_hash(data: Row) -> bool:
    try:
        hash(data)
    except TypeError:
        return False
    return True


def store_evaluated(
    propagation: Propagation,
    value: ComputedValue,
    keys: Sequence[Key],
    *,
    follow: bool = True,
    now: datetime | None = None,
) -> None:
    """Evaluate a value of locked hosts, and store what differs.

    :param follow: whether to record the deltas of the values computed from it.
    :param now: the current time, if it is chosen.
    """
    now = now or datetime.now(UTC)
    host = propagation.db.statements.plan.hosts[value.table]
    for start in range(0, len(keys), _BATCH):
        fresh = {
            key: expected
            for key, stored, expected in fresh_values(propagation, value, keys[start : start + _BATCH], now=now)
            if not all(map(same_value, stored, expected))
        }
        if fresh:
            _store(propagation, host, value, fresh, follow=follow)


def fresh_values(
    propagation: Propagation, value: ComputedValue, keys: Sequence[Key], *, now: datetime | None = None
) -> Iterator[tuple[Key, Row, Row]]:
    """Yield the keys of hosts, and the stored and evaluated values of their :attr:`.ComputedValue.running`.

    :raises ComputationError: if the function fails, or returns a value that cannot be stored.
    """
    db, inputs = propagation.db, value.inputs
    assert inputs is not None
    source = db.statements.plan.sources[value.table]
    if value.computation.requires_serializable:
        db.require_serializable(source, f"{value.name}: {value.computation!r}", _tables(value))
    for edge in inputs.edges[1:]:
        why = f"{value.name}: the search for the rows that it is computed from"
        db.require_latest_rows(edge.member, why, edge.joined_tables)
    connection = db.connection(source)
    occasion = Occasion(db.state.context, isolation_of(connection), now)
    rows = read_inputs(db, value, keys)
    found: list[tuple[Key, Row, Row]] = []
    for key, row in rows.items():
        try:
            answer = evaluate(value.computation, value, row, occasion)
            if answer is not None:
                expected = tuple(answer[column] for column in value.running)
                for column, part in zip(value.running, expected, strict=True):
                    _check(value, column, part, connection.dialect)
                found.append((key, tuple(row.stored[column] for column in value.running), expected))
        except ComputationError as error:
            named = ", ".join(f"{column.name}={part!r}" for column, part in zip(source.key, key, strict=True))
            error.add_note(f"It was called for the row of {value.table.name} with {named}")
            raise
    # a column may round: different values are compared in their stored form
    differing = [n for n, (_, stored, expected) in enumerate(found) if not all(map(same_value, stored, expected))]
    converted = as_stored(db, source, value.running, [found[place][2] for place in differing])
    for place, expected in zip(differing, converted, strict=True):
        found[place] = (*found[place][:2], expected)
    yield from found


def _tables(value: ComputedValue) -> set[Table]:
    """Return the tables of a value, and of the data that it is computed from."""
    edges = value.inputs.edges if value.inputs is not None else ()
    return {value.table, *(table for edge in edges for table in edge.joined_tables)}


def _check(value: ComputedValue, column: Column[Any], part: Any, dialect: Any) -> None:
    if part is None and refuses_none(column):
        raise ComputationError(
            f"{value.name}: the function returned None, but the column is NOT NULL. Return a value, or declare the "
            "column as nullable",
            record=value.record,
            property=value.attribute,
        )
    if part is not None and not may_be_stored(column, part, dialect):
        raise ComputationError(
            f"{value.name}: the function returned {part!r}, which a column of type {column.type} cannot store",
            record=value.record,
            property=value.attribute,
        )


def _store(
    propagation: Propagation, host: Host, value: ComputedValue, fresh: Mapping[Key, Row], *, follow: bool
) -> None:
    db, source, columns = propagation.db, host.source, [*value.running]
    keys, written = list(fresh), {*columns, *(other.column for other in source.same_row)}
    bracket = WriteBracket(propagation) if follow and _is_seen(propagation, host, written) else None
    if bracket is not None:
        touched = {source: Touched(dict.fromkeys(keys, Lock.NO_KEY_UPDATE), set(written))}
        bracket.open(Write(touched, named=NamedRows(source, value.mapper, keys)))
    rows = [(*key, *row) for key, row in fresh.items()]
    for key, stored in store_values(db, source, value.table, columns, rows, fires_onupdate=False):
        db.memory.refresh([value], key, (stored[columns.index(value.column)],))
    propagation.changed(host, keys)
    if bracket is not None:
        bracket.close(Changed(source, keys, written))


def _is_seen(propagation: Propagation, host: Host, written: set[Column[Any]]) -> bool:
    """Whether other values, rows or events depend on a change of these columns."""
    mutations = propagation.mutations
    return (
        any(edge.inputs & written for edge in host.source.edges)
        or any(hop.inputs & written for _, hop in host.source.readers)
        or bool(host.source.same_row)
        or (mutations is not None and mutations.wanted(host.mapper))
    )
