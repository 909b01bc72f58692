"""Tables without computed values whose mutation events are collected, as during a dispatch."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, Session

from ...schema.metadata_state import Catalog
from ...session.state import SessionState
from ..database.session_connection import is_kept_with
from ..plan import Plan


def told_class(session: Session, plan: Plan, table: Table) -> Mapper[Any] | None:
    """Return the class whose events a write to ``table`` creates, with inheritance the base class; else ``None``."""
    if not SessionState.of(session).wants_events or session._flushing:
        return None
    found = plan.mapper_of(table)
    if found is None:
        mappers = Catalog.of(plan.metadata).all_mappers()
        found = next((m.base_mapper for m in mappers if m.local_table is table and not m.concrete), None)
    if found is None or not isinstance(found.local_table, Table) or found.local_table.metadata is not plan.metadata:
        return None
    return found if is_kept_with(session, plan, found) else None  # writes to other databases are not tracked
