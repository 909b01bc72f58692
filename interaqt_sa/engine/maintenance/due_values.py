"""Compute the values whose time has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from ...dialects import Lock
from ..computations.agenda import run_agenda
from ..computations.evaluated_values import store_evaluated
from ..computations.event_delivery import start_propagation
from ..database.loaded_objects import Memory
from ..plan import ComputedValue, Key
from ..propagation.propagation import Propagation
from ..sql.statement_cache import Statements


def recompute_due_values(
    session_factory: Callable[[], Session],
    statements: Statements,
    values: Iterable[ComputedValue],
    now: datetime,
    batch: int,
) -> int:
    """Compute values that are due at ``now``, in short transactions; return their number.

    Rows that other transactions have locked are left out: another worker computes them, or a later call.
    """
    count = 0
    for value in values:
        while True:
            with session_factory() as session, session.begin():
                propagation = start_propagation(session, statements, Memory(session, statements.plan))
                keys = _claim(propagation, value, now, batch)
                if keys:
                    store_evaluated(propagation, value, keys, now=now)
                    run_agenda(propagation)
            count += len(keys)
            if len(keys) < batch:
                break
    return count


def _claim(propagation: Propagation, value: ComputedValue, now: datetime, batch: int) -> list[Key]:
    """Lock the rows that are due first, without waiting for other transactions; return their keys."""
    assert value.due is not None
    db, source = propagation.db, propagation.db.statements.plan.sources[value.table]
    key = source.key_in(value.table)
    is_due = value.due <= now
    if db.statements.plan.hosts[value.table].constant is not None:
        is_due |= and_(*(column.is_(None) for column in value.running[1:]))  # never computed
    statement = select(*key).where(is_due).order_by(value.due, *key).limit(batch)
    found = db.execute(source, db.dialect.lock(statement, Lock.NO_KEY_UPDATE, value.table, skips_locked=True), {})
    return sorted(tuple(row) for row in found)
