"""Databases that ``create_all`` made: after ``alembic stamp`` values that are true count as filled."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, MetaData, delete, insert, inspect, select
from sqlalchemy.orm import Session

from ..engine.check import CheckReport, check_derivations, check_values
from ..engine.dialects import dialect_for
from ..engine.plan import Plan
from ..engine.statements import Statements
from .backfill import Job
from .dependencies import derivations
from .operations import Backfill
from .state import DONE, state_table

log = logging.getLogger("alembic.interaqt_sa")


def adopt_true_values(connection: Connection, targets: Sequence[MetaData]) -> None:
    """Note as filled what is as its declaration computes it, checked row by row; what is not stays to fill."""
    state = state_table(targets[0])
    state.create(connection, checkfirst=True)
    rows = connection.execute(select(state.c.name, state.c.fingerprint).where(state.c.phase == DONE))
    filled = {tuple(row) for row in rows}
    for metadata in targets:
        for operation, report in _reports(connection, metadata, filled):
            if not report.ok:
                log.warning(
                    "%s is not what is declared: autogenerate will write its back-fill. %r", operation.name, report
                )
                continue
            connection.execute(delete(state).where(state.c.name == operation.name))
            row = {"name": operation.name, "fingerprint": operation.fingerprint, "phase": DONE, "cursor": None}
            connection.execute(insert(state).values(row))


def _reports(
    connection: Connection, metadata: MetaData, filled: set[tuple[str, ...]]
) -> Iterator[tuple[Backfill, CheckReport]]:
    plan = Plan.of(metadata)
    statements = Statements(plan, dialect_for(connection.dialect))
    tables = set(inspect(connection).get_table_names())
    with Session(connection, join_transaction_mode="rollback_only", autoflush=False) as session:
        for name, value in plan.computed.items():
            operation = Backfill(name, value.fingerprint)
            if (name, value.fingerprint) not in filled and _is_ready(connection, metadata, operation, tables):
                yield operation, check_values(session, statements, [value], None)
        for name, derivation in derivations(plan).items():
            operation = Backfill(name, derivation.fingerprint)
            if (name, derivation.fingerprint) not in filled and _is_ready(connection, metadata, operation, tables):
                yield operation, check_derivations(session, statements, [derivation])


def _is_ready(connection: Connection, metadata: MetaData, operation: Backfill, tables: set[str]) -> bool:
    if not tables:
        return False
    job = Job.of(operation, metadata)
    return job is not None and job.is_ready(connection)
