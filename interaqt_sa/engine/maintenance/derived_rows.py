"""Check, repair and back-fill the derived rows of a Transform."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, select
from sqlalchemy.orm import Session

from ...definitions.events import RecordView
from ...dialects import Lock, dialect_for
from ...schema.key_coercion import key_value
from ..computations.agenda import run_agenda
from ..computations.engine_row_writes import column_values
from ..computations.event_delivery import start_propagation
from ..computations.recompute import next_keys
from ..computations.state_machine import converted
from ..computations.transform import derive, source_token, store_derived
from ..database.loaded_objects import Memory
from ..database.polymorphic_rows import read_instances
from ..database.value_round_trip import as_stored, same_value
from ..plan import Derivation, Key, plan_of
from ..propagation.propagation import Propagation
from ..sql.statement_cache import Statements

#: the property of a difference of a whole row
ROW = "(row)"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DerivedDifference:
    """A derived row that is missing, wrong or orphaned.

    :ivar token: key of its source row, as stored in the derived row.
    :ivar id: its own key, ``None`` if it is missing.
    """

    derivation: Derivation
    token: str
    id: Any
    stored: Row | None
    expected: Row | None


def check_derivation(propagation: Propagation, derivation: Derivation, batch: int) -> Iterator[DerivedDifference]:
    """Yield derived rows that differ from what their sources yield; event-driven rows cannot be compared."""
    if derivation.origin is None or derivation.source_column is None:
        return
    source = propagation.db.statements.plan.sources[derivation.origin.local_table]  # type: ignore[index]
    after: Key | None = None
    columns: tuple[Column[Any], ...] = source.key
    while keys := next_keys(propagation, source, columns, after, batch, lock=False):
        after = keys[-1]
        fresh = _expected(propagation, derivation, keys)
        yield from _compare(propagation, derivation, fresh, _stored(propagation, derivation, list(fresh)))
    yield from _left_over(propagation, derivation, batch)


def repair_derivation(propagation: Propagation, derivation: Derivation, tokens: Sequence[str]) -> None:
    """Derive the rows of some source rows again, under the lock of each source row."""
    assert derivation.origin is not None
    source = propagation.db.statements.plan.sources[derivation.origin.local_table]  # type: ignore[index]
    keys = [key for token in tokens if (key := source_key(derivation, token)) is not None]
    packed = propagation.db.dialect.pack("ids", source.key_shape, keys)
    propagation.db.execute(source, propagation.db.statements.lock_rows(source, Lock.NO_KEY_UPDATE), packed)
    fresh = _expected(propagation, derivation, keys)
    for token in tokens:
        store_derived(propagation, derivation, token, fresh.get(token, []), is_new=False)
    run_agenda(propagation)


def backfill_derivation(derivation: Derivation, connection: Connection, after: Key | None, limit: int) -> Key | None:
    """Derive the rows of the next source rows, in the order of their primary keys; correct rows are kept.

    :param connection: with a running transaction.
    :param after: the last source row of the previous batch, ``None`` at the start.
    :param limit: the maximum number of source rows.
    :return: the key of the last source row of this batch, ``None`` if no rows were left.
    """
    assert derivation.origin is not None
    assert derivation.source_column is not None
    plan = plan_of(derivation.source_column.table.metadata)
    source = plan.sources[derivation.origin.local_table]  # type: ignore[index]
    statements = Statements(plan, dialect_for(connection.dialect))
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        # publishes events, because other rows may be derived from these
        propagation = start_propagation(session, statements, Memory(session, statements.plan))
        keys = next_keys(propagation, source, source.key, after, limit, lock=True)
        if not keys:
            # rows derived from deleted rows, or from a record that was the source before
            left_over = sorted({difference.token for difference in _left_over(propagation, derivation, limit)})
            if left_over:
                repair_derivation(propagation, derivation, left_over)
        else:
            fresh = _expected(propagation, derivation, keys)
            stored = _stored(propagation, derivation, list(fresh))
            there = {token for token, _ in stored}
            wrong = {difference.token for difference in _compare(propagation, derivation, fresh, stored)}
            for token in fresh:
                if token in wrong:
                    store_derived(propagation, derivation, token, fresh[token], is_new=token not in there)
            run_agenda(propagation)
        session.expunge_all()
        return keys[-1] if keys else None


def source_key(derivation: Derivation, token: str) -> Key | None:
    """Return the key of a source row from the form stored in derived rows, ``None`` if it is not a key."""
    assert derivation.origin is not None
    columns = derivation.origin.primary_key
    try:
        parts = [token] if len(columns) == 1 else json.loads(token)
        return tuple(key_value(column, converted(column, part)) for column, part in zip(columns, parts, strict=True))
    except (TypeError, ValueError):
        return None


def _expected(
    propagation: Propagation, derivation: Derivation, keys: Sequence[Key]
) -> dict[str, list[Mapping[str, Any] | None]]:
    assert derivation.origin is not None
    source = propagation.db.statements.plan.sources[derivation.origin.local_table]  # type: ignore[index]
    rows = read_instances(propagation.db, source, derivation.origin, keys)
    members = derivation.members
    return {
        source_token(derivation, row): (
            derive(derivation, RecordView({n: row[n] for n in derivation.attributes}))
            if members is None or members.contains(row)
            else []
        )
        for row in rows.values()
    }


def _stored(
    propagation: Propagation, derivation: Derivation, tokens: Sequence[str]
) -> dict[tuple[str, int], tuple[Key, Row]]:
    source, index = derivation.source_column, derivation.index_column
    assert source is not None
    assert index is not None
    columns = list(derivation.mapper.columns)
    shape = (("p0", source.type),)
    statement = propagation.db.statements.cached(
        ("stored derived", derivation),
        lambda: select(source, index, *columns).where(propagation.db.dialect.contains([source], "ids", shape)),
    )
    packed = propagation.db.dialect.pack("ids", shape, [(token,) for token in tokens])
    found: dict[tuple[str, int], tuple[Key, Row]] = {}
    for row in propagation.db.execute(derivation.target, statement, packed):
        values = {str(c.key): value for c, value in zip(columns, row[2:], strict=True)}
        found[row[0], row[1]] = (tuple(values[str(c.key)] for c in derivation.target.key), values)
    return found


def _compare(
    propagation: Propagation,
    derivation: Derivation,
    fresh: Mapping[str, Sequence[Mapping[str, Any] | None]],
    stored: dict[tuple[str, int], tuple[Key, Row]],
) -> Iterator[DerivedDifference]:
    keys = {str(column.key) for column in derivation.target.key}
    for token, rows in fresh.items():
        for index, row in enumerate(rows):
            if row is None:
                continue
            expected = {k: v for k, v in column_values(derivation.mapper, row).items() if k not in keys}
            key, found = stored.pop((token, index), (None, None))
            held = None if found is None else {name: found[name] for name in expected}
            if held is None or not _is_held(propagation, derivation, held, expected):
                yield DerivedDifference(derivation, token, _id(key), held, expected)
    for (token, _), (key, found) in stored.items():
        yield DerivedDifference(derivation, token, _id(key), found, None)


def _is_held(propagation: Propagation, derivation: Derivation, held: Row, expected: Row) -> bool:
    """Whether a derived row has the values that its source yields, in their stored form."""
    names = [name for name, value in expected.items() if not same_value(held[name], value)]
    if not names:
        return True
    known = {str(column.key): column for column in derivation.mapper.columns}
    columns = [known[name] for name in names]
    (stored,) = as_stored(propagation.db, derivation.target, columns, [tuple(expected[name] for name in names)])
    return all(same_value(held[name], value) for name, value in zip(names, stored, strict=True))


def _left_over(propagation: Propagation, derivation: Derivation, batch: int) -> Iterator[DerivedDifference]:
    """Yield derived rows whose source row does not exist."""
    source_column, target = derivation.source_column, derivation.target
    assert source_column is not None
    assert derivation.origin is not None
    source = propagation.db.statements.plan.sources[derivation.origin.local_table]  # type: ignore[index]
    after: Key | None = None
    while keys := next_keys(propagation, target, target.key, after, batch, lock=False):
        after = keys[-1]
        packed = propagation.db.dialect.pack("ids", target.key_shape, keys)
        rows = propagation.db.execute(target, propagation.db.statements.read_rows(target, [source_column]), packed)
        tokens = {row[-1] for row in rows if row[-1] is not None}
        readable = [key for token in tokens if (key := source_key(derivation, token)) is not None]
        there = read_instances(propagation.db, source, derivation.origin, readable)
        gone = tokens - {source_token(derivation, row) for row in there.values()}
        for row in rows:
            if row[-1] in gone:
                yield DerivedDifference(derivation, row[-1], _id(tuple(row[:-1])), {"source": row[-1]}, None)


def _id(key: Key | None) -> Any:
    return key[0] if key is not None and len(key) == 1 else key
