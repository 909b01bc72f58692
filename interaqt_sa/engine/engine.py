"""The public face of the engine: the only module of it that the rest of the package imports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import Mapper, Session

from ..definitions.argument_types import RecordRef
from ..session.write_listeners import WriteListeners
from .capture.core_statement_guard import UnmanagedDML
from .capture.session_listeners import SessionListeners
from .capture.unattached_writes import Unattached
from .computations import Accumulator, Contribution, Selection, accumulates
from .computations.extremes import greater, lesser
from .maintenance.backfill import backfill_values, whole_update
from .maintenance.check import (
    CheckReport,
    Difference,
    check_derivations,
    check_values,
    repair_derivations,
    repair_values,
    select_derivations,
    select_values,
)
from .maintenance.derived_rows import backfill_derivation
from .plan import ComputedValue, Derivation, Plan, plan_of
from .plan.accumulator import Resolve, Test
from .sql.exact_numbers import as_number, is_number
from .sql.statement_cache import Statements

__all__ = [
    "Accumulator",
    "CheckReport",
    "ComputationEngine",
    "ComputedValue",
    "Contribution",
    "Derivation",
    "Difference",
    "Plan",
    "Resolve",
    "Selection",
    "Statements",
    "Test",
    "accumulates",
    "as_number",
    "backfill_derivation",
    "backfill_values",
    "check_derivations",
    "check_values",
    "greater",
    "is_number",
    "lesser",
    "plan_of",
    "whole_update",
]

#: How long a chain of rows that are derived from derived rows is mended by one call of ``repair``.
_MAX_ROUNDS = 10


class ComputationEngine:
    """Keeps the computed values of one MetaData true in the sessions that it is attached to.

    :param metadata: where the declarations hang.
    :param unmanaged_dml: what to do about writes past the session.
    :param all_serializable: whether every writer is SERIALIZABLE.
    :param unattached: what to do about writes by sessions and connections that it is not attached to.
    :param session_listeners: events and listeners of others, who take part in the same sessions.
    """

    def __init__(
        self,
        metadata: MetaData,
        unmanaged_dml: UnmanagedDML = "raise",
        *,
        all_serializable: bool = False,
        unattached: Unattached = "warn",
        session_listeners: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._listeners = SessionListeners(
            metadata,
            unmanaged_dml,
            all_serializable=all_serializable,
            unattached=unattached,
            session_listeners=session_listeners,
        )

    @property
    def engines(self) -> list[Engine]:
        """Engines of attached sessions that were met so far."""
        return self._listeners.engines

    @property
    def write_listeners(self) -> WriteListeners:
        """Functions that hear of every write of attached sessions."""
        return self._listeners.write_listeners

    def attach(self, target: Any) -> None:
        """Listen on a sessionmaker, scoped_session or Session class; once, however often it is called.

        :raises FrameworkError: if another engine of the same MetaData listens there.
        """
        self._listeners.attach(target)

    def detach(self, target: Any) -> None:
        """Stop listening on ``target``."""
        self._listeners.detach(target)

    def add_row(self, session: Session, mapper: Mapper[Any], values: Mapping[str, Any]) -> None:
        """Add a row with the values that the constructor of its class would get; what is computed from it follows."""
        self._listeners.add_row(session, mapper, values)

    def check(
        self,
        session_factory: Callable[[], Session],
        record: RecordRef | None,
        property: str | None,
        keys: Iterable[Any] | None,
    ) -> CheckReport:
        """Compare stored values with their full recomputation; see :meth:`.System.check`."""
        values = select_values(self._listeners.plan, record, property)
        with session_factory() as session:
            statements = self._listeners.statements_for(session)
            report = check_values(session, statements, values, keys)
            if property is None and keys is None:
                report += check_derivations(session, statements, select_derivations(statements.plan, record))
            return report

    def repair(
        self,
        session_factory: Callable[[], Session],
        record: RecordRef | None,
        property: str | None,
        keys: Iterable[Any] | None,
    ) -> CheckReport:
        """Store recomputed values where stored ones differ; see :meth:`.System.repair`."""
        values = select_values(self._listeners.plan, record, property)
        keys = None if keys is None else list(keys)
        report = found = self.check(session_factory, record, property, keys)
        for _ in range(_MAX_ROUNDS):
            if found.ok:
                break
            with session_factory() as session:
                statements = self._listeners.statements_for(session)
            repair_derivations(session_factory, statements, found)
            repair_values(session_factory, statements, values, found)
            if not select_derivations(statements.plan, None):
                break
            # rows that are derived from a value that was wrong are wrong too, and so on along the chain
            found = self.check(session_factory, record, property, keys)
        return report
