"""The public interface of the engine: the only module of it that the rest of the package imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, MetaData
from sqlalchemy.orm import Mapper, Session

from ..definitions.type_aliases import RecordRef
from ..dialects.functions import without_nan
from ..session.write_listeners import WriteListeners
from .capture.core_statement_guard import UnmanagedDML
from .capture.session_listeners import SessionListeners
from .capture.unattached_writes import Unattached
from .computations import Accumulator, Contribution, Selection, accumulates
from .computations.extremes import greater, lesser
from .maintenance.backfill import backfill_values, whole_update
from .maintenance.check import (
    check_derivations,
    check_values,
    repair_derivations,
    repair_values,
    select_derivations,
    select_values,
)
from .maintenance.check_batches import CheckProgress, KeyRange, Keys, Report
from .maintenance.check_report import CheckReport, Difference
from .maintenance.computation_graph import ComputationGraph, GraphNode, computation_graph
from .maintenance.derived_rows import backfill_derivation
from .maintenance.due_values import recompute_due_values
from .maintenance.numbered_rows import check_numberings, numberings_among, repair_numberings
from .plan import ComputedValue, Derivation, Plan, plan_of
from .plan.accumulator import Resolve, Test
from .sql.exact_numbers import as_number, is_number
from .sql.statement_cache import Statements

__all__ = [
    "Accumulator",
    "CheckProgress",
    "CheckReport",
    "ComputationEngine",
    "ComputationGraph",
    "ComputedValue",
    "Contribution",
    "Derivation",
    "Difference",
    "GraphNode",
    "KeyRange",
    "Keys",
    "Plan",
    "Report",
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
    "without_nan",
]

#: maximum length of a chain of rows derived from derived rows that one call of ``repair`` corrects
_MAX_ROUNDS = 10


class ComputationEngine:
    """Maintains the computed values of one MetaData in the sessions that it is attached to.

    :param metadata: the MetaData with the declarations.
    :param unmanaged_dml: the handling of writes that bypass the session.
    :param all_serializable: whether all writers are SERIALIZABLE.
    :param unattached: the handling of writes by sessions and connections that are not attached.
    :param session_listeners: events and listeners of other packages for the same sessions.
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
        """The engines used by attached sessions so far."""
        return self._listeners.engines

    @property
    def write_listeners(self) -> WriteListeners:
        """Listeners that are called after every write of attached sessions."""
        return self._listeners.write_listeners

    def attach(self, target: Any) -> None:
        """Listen on a sessionmaker, scoped_session or Session class; idempotent.

        :raises FrameworkError: if another engine of the same MetaData is attached to it.
        """
        self._listeners.attach(target)

    def detach(self, target: Any) -> None:
        """Stop listening on ``target``."""
        self._listeners.detach(target)

    def add_row(self, session: Session, mapper: Mapper[Any], values: Mapping[str, Any]) -> None:
        """Insert a row, given the keyword arguments of its class, and update the values computed from it."""
        self._listeners.add_row(session, mapper, values)

    def graph(self) -> ComputationGraph:
        """Return what feeds what; see :meth:`.System.graph`."""
        return computation_graph(self._listeners.plan)

    def check(
        self,
        session_factory: Callable[[], Session],
        record: RecordRef | None,
        property: str | None,
        keys: Keys,
        report: Report | None = None,
    ) -> CheckReport:
        """Compare stored values with their full recomputation; see :meth:`.System.check`."""
        values = select_values(self._listeners.plan, record, property)
        keys = keys if keys is None or isinstance(keys, KeyRange) else list(keys)
        with session_factory() as session:
            statements = self._listeners.statements_for(session)
            found = check_values(session, statements, values, keys, report)
            if numberings := numberings_among(statements.plan, values):
                found += check_numberings(session, statements, numberings, keys)
            if property is None and keys is None:
                found += check_derivations(session, statements, select_derivations(statements.plan, record))
            return found

    def recompute_due(self, session_factory: Callable[[], Session], now: datetime, batch: int) -> int:
        """Compute the values that are due; see :meth:`.System.recompute_due`."""
        with session_factory() as session:
            statements = self._listeners.statements_for(session)
        due = [value for value in select_values(statements.plan, None, None) if value.due is not None]
        return recompute_due_values(session_factory, statements, due, now, batch)

    def repair(
        self,
        session_factory: Callable[[], Session],
        record: RecordRef | None,
        property: str | None,
        keys: Keys,
        report: Report | None = None,
    ) -> CheckReport:
        """Store recomputed values where stored ones differ; see :meth:`.System.repair`."""
        values = select_values(self._listeners.plan, record, property)
        keys = keys if keys is None or isinstance(keys, KeyRange) else list(keys)
        first = found = self.check(session_factory, record, property, keys, report)
        for _ in range(_MAX_ROUNDS):
            if found.ok:
                break
            with session_factory() as session:
                statements = self._listeners.statements_for(session)
            repair_derivations(session_factory, statements, found)
            repair_values(session_factory, statements, values, found)
            repair_numberings(session_factory, statements, numberings_among(statements.plan, values), found)
            if not select_derivations(statements.plan, None):
                break
            # rows derived from a wrong value are wrong too, and so on along the chain
            found = self.check(session_factory, record, property, keys)
        return first
