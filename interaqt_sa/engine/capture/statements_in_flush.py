"""Follow Core statements that mapper events execute during a flush, as parts of that flush."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Column, Table, select, tuple_
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import Delete, Insert, Update

from ...dialects import Lock
from ...dialects.execution_options import ENGINE_OPTIONS, STATEMENT_OPTION
from ...errors import UnmanagedWriteError
from ...schema.computed import state_of
from ..database.pending_deltas import Touched
from ..plan import Key, Plan, Source
from ..plan.column_replacement import labelled
from ..sql.unevaluated_where import Restriction
from .dml_statement import DMLStatement, conflict_clauses
from .flush import Flush
from .replaced_rows import may_replace


def writes_links_of_objects(element: Any, table: Table, parameters: Sequence[Mapping[str, Any]], plan: Plan) -> bool:
    """Whether the unit of work writes rows of a secondary table that are not objects."""
    if table not in plan.secondaries:
        return False
    if isinstance(element, Insert):
        given = element._values or element._multi_values or element.select is not None or conflict_clauses(element)
        return not given and bool(parameters and parameters[0])
    binds = [part for part in visitors.iterate(element.whereclause) if isinstance(part, BindParameter)]
    return bool(binds) and all(bind.key in row for bind in binds for row in parameters)


def refuse_rows_in_flush(dml: DMLStatement) -> None:
    """Refuse a list of rows by attribute, which the ORM writes in the way of the unit of work.

    :raises UnmanagedWriteError: with the name of the table.
    """
    if dml.rows_by_attribute:
        raise UnmanagedWriteError(
            f"this {dml.verb} of rows of {dml.table.fullname!r} runs within a flush, where computed values would "
            "not be updated; run it before or after the flush, or row by row with .values(...)",
            table=dml.table.fullname,
        )


def follow_statement(
    element: Insert | Update | Delete,
    table: Table,
    parameters: Sequence[Mapping[str, Any]],
    source: Source | None,
    flush: Flush,
) -> Insert | Update | Delete | None:
    """Include a statement of the application in the flush.

    :return: the statement to run instead, ``None`` if the engine cannot follow it.
    """
    if not isinstance(element.table, Table) or element.table.key != table.key:
        return None  # an alias
    rows = [row for row in parameters if row]
    dml = DMLStatement(element, table, rows)
    if isinstance(element, Delete):
        return _follow_delete(element, table, rows, source or flush.propagation.db.statements.unwatched(table), flush)
    if source is None or may_replace(element, table, flush.plan):
        return None
    written = set(dml.written)
    if any(c in flush.plan.columns or state_of(c) is not None for c in written):
        return None
    if isinstance(element, Insert):
        return element if _follow_insert(dml, element, source, flush) else None
    return _follow_update(element, table, written, rows, source, flush)


def _follow_update(
    element: Update,
    table: Table,
    written: set[Column[Any]],
    rows: Sequence[Mapping[str, Any]],
    source: Source,
    flush: Flush,
) -> Update | None:
    found_by = flush.plan.found_by(source)
    if written & {*source.key, *found_by}:
        return None
    changed = written | source.following()
    if not (changed & source.inputs or source.same_row or flush.hears(source)):
        return element  # no computed value or wanted event depends on it
    lock = source.lock_to_change(written)
    keys = _matching(element, table, rows, source, flush, lock)
    flush.written_by_statement(source, keys, changed, lock)
    return element.where(_restriction(table, source, keys, flush))


def _follow_delete(
    element: Delete, table: Table, rows: Sequence[Mapping[str, Any]], source: Source, flush: Flush
) -> Delete:
    keys = _matching(element, table, rows, source, flush, Lock.UPDATE)
    touched: dict[Source, Touched] = {}
    if keys and table is source.table:
        flush.written.find_dependents({table: dict.fromkeys(keys)}, touched)
    for below, found in touched.items():
        flush.written_by_statement(below, found.keys, found.columns, Lock.UPDATE)
    if table in flush.plan.sources:
        flush.written_by_statement(source, keys, None, Lock.UPDATE)
    return element.where(_restriction(table, source, keys, flush))


def _restriction(table: Table, source: Source, keys: Sequence[Key], flush: Flush) -> Restriction:
    """Return the criterion that restricts a statement to the locked rows, because other rows may match by now."""
    key, dialect = source.key_in(table), flush.propagation.db.dialect
    shape = tuple((f"p{i}", column.type) for i, column in enumerate(key))
    return Restriction(dialect.contains(key, "locked", shape, dialect.pack("locked", shape, keys)))


def _follow_insert(dml: DMLStatement, element: Insert, source: Source, flush: Flush) -> bool:
    mapper = source.mapper
    if element.select is not None or conflict_clauses(element) or (mapper is not None and len(mapper.tables) > 1):
        return False
    if any(machine.source is source for machine in flush.plan.machines) or dml.table in flush.plan.numberings:
        return False
    if source.host is not None and flush.propagation.has_loose_members(source):
        return False
    keys: list[Key] = []
    for row in dml.given_rows():
        key = tuple(row.get(column) for column in source.key)
        if any(part is None or hasattr(part, "__clause_element__") for part in key):
            return False  # a key known only to the database
        keys.append(key)
    flush.inserted_by_statement(source, keys)
    return True


def _matching(
    element: Update | Delete,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    source: Source,
    flush: Flush,
    lock: Lock,
) -> list[Key]:
    """Lock the rows that match a statement, and return their keys."""
    key = list(source.key_in(table))
    matching = select(*key).where(*element._where_criteria)
    one: Any = key[0] if len(key) == 1 else tuple_(*key)
    statement = select(*labelled(key)).where(one.in_(matching.correlate(None))).order_by(*key)
    if {*matching.get_final_froms()} == {table}:
        statement = select(*labelled(key)).where(*element._where_criteria).order_by(*key)
    locking = flush.propagation.db.dialect.lock(statement, lock, table)
    connection = flush.propagation.db.connection(source)
    options = {**ENGINE_OPTIONS, STATEMENT_OPTION: locking}  # a listener of the engine may not narrow it
    found: dict[Key, None] = {}
    for parameters in rows or [{}]:
        result = connection.execute(locking, parameters, execution_options=options)
        found.update(dict.fromkeys(tuple(row) for row in result))
    return list(found)
