"""Insert one row for the package itself: by Core if no mapper event can tell the difference, else by the ORM.

A flush of one object costs several times as much as its INSERT. It is needed only if the class, the mapper or the
session runs code of the application.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.sql.elements import ClauseElement

from ...definitions.computation import computation_of
from ...session.all_or_nothing import WriteUnit, all_or_nothing
from ...session.write_listeners import tell_listeners
from ..computations.agenda import run_agenda
from ..computations.engine_row_writes import insert_rows
from ..computations.event_delivery import start_propagation
from ..database.loaded_objects import Memory
from ..sql.statement_cache import Statements


def add_row(session: Session, statements: Statements, mapper: Mapper[Any], values: Mapping[str, Any]) -> None:
    """Insert a row, and update the computed values that depend on it.

    :param values: keyword arguments of the constructor of the mapped class.
    """
    session.flush()
    given = _plain_values(statements, mapper, values)
    if given is None or _takes_part(session, mapper) or not _shares_engine(session, statements, mapper):
        session.add(mapper.class_(**values))
        session.flush()
        return
    table = mapper.local_table
    assert isinstance(table, Table)
    unit = WriteUnit(session)
    with all_or_nothing(unit):
        propagation = start_propagation(session, statements, Memory(session, statements.plan))
        source = statements.plan.sources.get(table) or statements.unwatched(table, mapper)
        with unit.writing(in_parts=True):
            insert_rows(propagation, source, mapper, [given], [{}])
        run_agenda(propagation)
        tell_listeners(session)


def _shares_engine(session: Session, statements: Statements, mapper: Mapper[Any]) -> bool:
    """Whether the row is written to the database with the computed values."""
    return session.get_bind(mapper=statements.plan.mapper or mapper) is session.get_bind(mapper=mapper)


def _takes_part(session: Session, mapper: Mapper[Any]) -> bool:
    """Whether listeners of the application receive new objects."""
    heard: Any = session.dispatch
    of_class: Any = mapper.class_manager.dispatch
    return bool(
        len(heard.before_flush) > 1  # one belongs to the engine
        or len(heard.after_flush) > 1
        or len(heard.after_flush_postexec) > 1
        or heard.before_attach
        or heard.after_attach
        or heard.transient_to_pending
        or heard.pending_to_persistent
        or mapper.dispatch.before_insert
        or mapper.dispatch.after_insert
        or any(mapper.class_manager[prop.key].dispatch.set for prop in mapper.column_attrs)
        or len(of_class.init) > 1  # one belongs to the mapper
    )


def _plain_values(statements: Statements, mapper: Mapper[Any], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the values that the unit of work would write; ``None`` if they cannot be determined."""
    known = statements.cached(("plain columns", mapper), lambda: _plain_columns(mapper))
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known or isinstance(value, ClauseElement) or hasattr(value, "__clause_element__"):
            return None
        if value is not None or known[name]:  # None is omitted, so that the column gets its default
            given[name] = value
    return given or None


def _plain_columns(mapper: Mapper[Any]) -> dict[str, bool]:
    """Return the attributes that are plain columns, and whether None is stored as a value of each.

    Empty if the class has code of its own, or its rows are written to several tables.
    """
    manager: Any = mapper.class_manager
    if (
        not isinstance(mapper.local_table, Table)
        or len(mapper.tables) != 1
        or manager.original_init is not mapper.registry.constructor
        or mapper.validators
        or mapper.version_id_col is not None
    ):
        return {}
    columns = {prop.key: prop.columns[0] for prop in mapper.column_attrs if len(prop.columns) == 1}
    return {
        name: bool(column.type.should_evaluate_none)
        for name, column in columns.items()
        if isinstance(column, Column) and column.table is mapper.local_table and computation_of(column) is None
    }
