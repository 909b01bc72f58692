"""Databases created by ``create_all``: after ``alembic stamp``, correct values count as filled."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, MetaData
from sqlalchemy.orm import Session

from ..dialects import dialect_for
from ..engine.engine import CheckReport, Statements, check_derivations, check_values
from .backfill_state import DONE, read_state, state_table, write_state
from .declared import Declared, missing_columns

log = logging.getLogger("alembic.interaqt_sa")


def adopt_true_values(connection: Connection, targets: Sequence[MetaData]) -> None:
    """Record values that match their declarations, checked row by row, as filled; others are left to be filled."""
    state = state_table(targets[0])
    state.create(connection, checkfirst=True)
    rows = read_state(connection, state)
    for one in Declared.all(targets):
        found = {name: row for name in one.fingerprints if (row := one.row(rows, name)) is not None}
        filled = {n for n, row in found.items() if row.phase == DONE and one.is_current(n, row.fingerprint)}
        for name, report in _reports(connection, one, filled):
            if report.ok:
                write_state(connection, state, {one.places[name]: one.fingerprints[name]}, DONE)
            else:
                log.warning("%s differs from its declaration: autogenerate will write its back-fill. %r", name, report)


def _reports(connection: Connection, declared: Declared, filled: Collection[str]) -> Iterator[tuple[str, CheckReport]]:
    plan = declared.plan
    open_ = [name for name in declared.fingerprints if name not in filled]
    if not open_ or next(missing_columns(connection, list(plan.sources)), None) is not None:
        return
    statements = Statements(plan, dialect_for(connection.dialect))
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        for name in open_:
            if name in declared.values:
                yield name, check_values(session, statements, [declared.values[name]], None)
            else:
                yield name, check_derivations(session, statements, [declared.derivations[name]])
