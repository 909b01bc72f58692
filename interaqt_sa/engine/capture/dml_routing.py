"""Route each DML statement of a session to the code that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Result
from sqlalchemy.sql.dml import Delete, Insert, Update

from ...session.all_or_nothing import WriteUnit, all_or_nothing
from ...session.state import SessionState
from ...session.write_listeners import tell_listeners
from ..sql.statement_cache import Statements
from .computed_writes import GivenComputedValues
from .dml_statement import DMLStatement, conflict_clauses
from .numbered_inserts import numbered
from .orm_dml import Bulk
from .upsert import Upsert


def run_dml(dml: DMLStatement, find_statements: Callable[[], Statements]) -> Result[Any]:
    """Run a DML statement on a watched table, and update all computed values that depend on it.

    :param find_statements: returns the cached statements for the database in which it runs.
    :raises ComputedWriteError: if it writes a computed column.
    :raises UnmanagedWriteError: if the engine cannot follow a statement of this form.
    """
    session = dml.execution.session
    unit = WriteUnit(session)
    with all_or_nothing(unit):
        with SessionState.of(session).managed(dml.execution.bind_arguments.get("bind")):
            statements = find_statements()
            result = _run(Bulk(dml, statements, GivenComputedValues(statements.plan, dml), unit))
        tell_listeners(session)
        return result


def _run(bulk: Bulk) -> Result[Any]:
    statement = bulk.statement
    if isinstance(statement, Insert):
        # DO NOTHING returns only the rows that it has inserted
        updates = any(hasattr(clause, "update_values_to_set") for clause in conflict_clauses(statement))
        with numbered(bulk):
            return Upsert(bulk).run() if updates else bulk.insert()
    if isinstance(statement, Update):
        return bulk.update()
    assert isinstance(statement, Delete)
    return bulk.delete()
