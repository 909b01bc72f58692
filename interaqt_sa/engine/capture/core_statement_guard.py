"""Inspect every Core statement on a managed connection before it runs, and refuse unmanaged writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Column, Table, TextClause, TextualSelect
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql.dml import Delete, Insert, Update

from ...dialects import Lock
from ...dialects.execution_options import ENGINE_OPTIONS
from ...errors import UnmanagedWriteError
from ..database.link_rows import find_links
from ..database.pending_deltas import Touched
from ..plan import Key, Plan, Source
from ..propagation.rows_of_foreign_key_actions import leads_on
from .computed_writes import refuse_assigned
from .dml_statement import dml_of
from .flush import Flush
from .replaced_rows import find_displaced, find_replaced, may_replace, replacing_targets, rows_by_column
from .running_flush import RunningFlush
from .sql_text import may_write
from .statements_in_flush import follow_statement, writes_links_of_objects
from .table_identity import FindNames, find_table

if TYPE_CHECKING:
    from collections.abc import Callable

UnmanagedDML = Literal["raise", "warn", "allow"]

#: execution option of statements that the DML handler runs through the session itself
MANAGED_OPTION = "interaqt_sa_managed"


def written_table(element: Any, options: Mapping[str, Any], plan: Plan, names: FindNames) -> Table | None:
    """Return the watched table that a statement writes, possibly by a cascade; ``None`` for engine statements."""
    dml = None if ENGINE_OPTIONS.keys() <= options.keys() else dml_of(element)
    table = find_table(dml.table, plan, names) if dml is not None else None
    return table if table is not None and is_watched(dml, table, plan) else None


def is_watched(element: Any, table: Table, plan: Plan) -> bool:
    """Whether the engine has to follow a statement that writes ``table``."""
    if table in plan.sources:
        return True
    return (isinstance(element, Delete) or may_replace(element, table, plan)) and bool(leads_on(plan, table))


def watch_statement(
    element: Insert | Update | Delete,
    table: Table,
    parameters: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    plan: Plan,
    running: RunningFlush[Flush] | None,
    flush: Flush | None,
    refuse: Callable[[UnmanagedWriteError], None],
) -> Insert | Update | Delete:
    """Follow a statement executed within a flush, or refuse it.

    :param table: the result of :func:`written_table` for the statement.
    :param running: the running flush, if there is one.
    :param flush: the engine's handler of that flush.
    :param refuse: raises an error, warns or does nothing, according to the configuration of the system.
    :return: the statement to run instead: statements of the application are restricted to the rows locked for them.
    """
    source = plan.sources.get(table)
    if running is None or flush is None or getattr(element.table, "metadata", None) is not plan.metadata:
        refuse(unmanaged_write(table, str(element.__visit_name__)))
        return element
    of_mapper = running.is_statement_of_mapper(options) and _names_its_rows(element, table, parameters, plan)
    if not of_mapper and not writes_links_of_objects(element, table, parameters, plan):
        followed = follow_statement(element, table, parameters, source, flush)
        if followed is None:
            refuse(unmanaged_write(table, str(element.__visit_name__)))
        return element if followed is None else followed
    if of_mapper and not running.is_at_work:  # bulk_save_objects() and similar methods
        refuse(unmanaged_write(table, str(element.__visit_name__)))
        return element
    _follow_unit_of_work(element, table, parameters, options, running, flush)
    return element


def _follow_unit_of_work(
    element: Insert | Update | Delete,
    table: Table,
    parameters: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    running: RunningFlush[Flush],
    flush: Flush,
) -> None:
    plan = flush.plan
    source = plan.sources.get(table)
    if not isinstance(element, Delete) and running.runs_code(None):
        refuse_assigned(element, table, parameters, flush.plan, flush.started)
    if isinstance(element, Insert):
        flush.numbers.fill(table, parameters, runs_code=running.runs_code(None))
    if not isinstance(element, Delete) and may_replace(element, table, plan):
        _replaced_rows(element, table, parameters, flush)
    if source is None:
        if isinstance(element, Delete):
            _late_rows(element, parameters, flush.written.source(table), flush)
    elif table in plan.secondaries and not _of_object(source, options):
        _link_rows(element, parameters, source, flush)
    elif not isinstance(element, Insert):
        _late_rows(element, parameters, source, flush)


def unmanaged_write(table: Table, verb: str) -> UnmanagedWriteError:
    """Return the error for a write that bypasses the session."""
    return UnmanagedWriteError(
        f"this {verb} on {table.fullname!r} bypasses the session, so that computed values would not be updated; "
        f"use session.execute({verb}(...)) or the unit of work instead of bulk_*() and connection.execute(); if it "
        "comes from another session on the same connection, attach the class of that session with system.attach(…). Or "
        "set System(unmanaged_dml='allow') and run system.repair() afterwards",
        table=table.fullname,
    )


def is_text(context: Any) -> bool:
    """Whether a statement is SQL text written by the application."""
    compiled = context.compiled
    if compiled is None:
        return True
    if context.isinsert or context.isupdate or context.isdelete:
        return False
    statement = compiled.statement
    statement = statement.element if isinstance(statement, FromStatement) else statement
    return isinstance(statement, (TextClause, TextualSelect))


def may_hold_writes(context: Any, text: str) -> bool:
    """Whether a statement may contain another one that writes.

    It is called for every statement, but only once the statement is compiled: to search an uncompiled one for CTEs
    takes too long.

    :param text: the SQL text about to be executed; a separately executed default (a ``Sequence``) has no statement.
    """
    if is_text(context):
        return may_write(text)
    compiled = context.compiled
    return compiled is not None and (
        bool(getattr(compiled, "ctes", None)) or isinstance(compiled.statement, FromStatement)
    )


def inner_writes(context: Any, plan: Plan, names: FindNames) -> Iterator[UnmanagedWriteError]:
    """Yield the errors for writes inside another statement, whose rows are unknown.

    :param context: the execution context of a statement for which :func:`may_hold_writes` is true.
    """
    # the DML handler selects the matching rows by a statement of its own, which must not write
    is_write = context.isinsert or context.isupdate or context.isdelete
    only_asks = MANAGED_OPTION in context.execution_options and not is_write
    if only_asks:
        for part in _inner_parts(context):
            table = find_table(part.table, plan, names)
            yield _inner_write(part.table if table is None else table, str(part.__visit_name__))
    else:
        for found, verb in inner_tables(context, plan, names):
            yield _inner_write(found, verb)


def inner_tables(context: Any, plan: Plan, names: FindNames) -> Iterator[tuple[Table, str]]:
    """Yield the watched tables that parts of a statement write, with the verb of the part."""
    for part in _inner_parts(context):
        table = find_table(part.table, plan, names)
        if table is not None and is_watched(part, table, plan):
            yield table, str(part.__visit_name__)


def _inner_parts(context: Any) -> Iterator[Insert | Update | Delete]:
    compiled = context.compiled
    if ENGINE_OPTIONS.keys() <= context.execution_options.keys():
        return
    parts = [cte.element for cte in compiled.ctes or ()]
    if isinstance(compiled.statement, FromStatement):
        parts.append(compiled.statement.element)
    for part in parts:
        if isinstance(part, (Insert, Update, Delete)):
            yield part


def _inner_write(table: Any, verb: str) -> UnmanagedWriteError:
    return UnmanagedWriteError(
        f"this {verb} on {table.fullname!r} is part of another statement, so that computed values would not be "
        f"updated; run it separately with session.execute({verb}(...).returning(...)) and use the rows it returns, or "
        "set System(unmanaged_dml='allow') and run system.repair() afterwards",
        table=table.fullname,
    )


def _of_object(source: Source, options: Mapping[str, Any]) -> bool:
    """Whether a row is written for an object, whose class is mapped to a secondary table."""
    mapper = source.mapper
    return mapper is not None and options.get("compiled_cache") is mapper.base_mapper._compiled_cache


def _late_rows(element: Update | Delete, parameters: Sequence[Mapping[str, Any]], source: Source, flush: Flush) -> None:
    """Lock and read written rows that were not known before the flush: orphans, nullified keys, post_update."""
    table = element.table
    assert isinstance(table, Table)
    key = source.key_in(table)
    # the unit of work combines rows in one statement if it writes the same columns of them
    columns = None if isinstance(element, Delete) else {table.c[name] for name in parameters[0] if name in table.c}
    expressions: Any = getattr(element, "_values", None) or {}
    if columns is not None and expressions:
        columns |= {c for c in table.columns if any(getattr(given, "key", given) == c.key for given in expressions)}
    keys = flush.unseen(source, [k for row in parameters if (k := _key_of(key, row)) is not None], columns)
    if not keys:
        return
    if columns is None:
        flush.delete_late(source, keys)
    elif columns & source.inputs or source.same_row or flush.hears(source):
        lock = source.lock_to_change(columns)
        flush.late(source, keys, columns | source.following(), lock)


def _names_its_rows(element: Any, table: Table, parameters: Sequence[Mapping[str, Any]], plan: Plan) -> bool:
    """Whether the parameters contain the keys of the rows of an UPDATE or DELETE, as in the unit of work."""
    source = plan.sources.get(table)
    if source is None or isinstance(element, Insert):
        return True
    return all(_key_of(source.key_in(table), row) is not None for row in parameters)


def _key_of(key: Sequence[Column[Any]], row: Mapping[str, Any]) -> Key | None:
    # the unit of work names key parameters in WHERE by label in an UPDATE and by key in a DELETE
    values = tuple(row.get(column._label or "", row.get(column.key)) for column in key)
    return None if None in values else values


def _replaced_rows(
    element: Insert | Update, table: Table, parameters: Sequence[Mapping[str, Any]], flush: Flush
) -> None:
    """Lock and read the rows that SQLite replaces by rows of the unit of work."""
    propagation, plan = flush.propagation, flush.plan
    targets = () if propagation.db.dialect.has_row_locks else replacing_targets(element, table, plan)
    rows = rows_by_column(table, parameters)
    if isinstance(element, Update):
        targets = [target for target in targets if any(c in row for row in rows for c in target.columns)]
    source = plan.sources.get(table) or propagation.db.statements.unwatched(table)
    find = find_replaced if isinstance(element, Insert) else find_displaced
    gone = find(propagation, source, targets, rows) if targets else []
    touched: dict[Source, Touched] = {}
    if gone:
        flush.written.find_dependents({table: dict.fromkeys(gone)}, touched)
    for below, found in touched.items():
        flush.late(below, found.keys, None, Lock.UPDATE)
    if table in plan.sources:
        flush.replaces(source, gone)


def _link_rows(element: Any, parameters: Sequence[Mapping[str, Any]], source: Source, flush: Flush) -> None:
    """Handle rows of a secondary table, which the unit of work writes without an object of their own."""
    table = element.table
    columns = [c for c in table.columns if any(c.key in row for row in parameters)]
    if isinstance(element, Insert):
        flush.insert_links(source, columns, parameters)
        return
    prefix = "old_" if isinstance(element, Update) else ""
    named = [c for c in table.columns if any(f"{prefix}{c.key}" in row for row in parameters)]
    values = [tuple(row[f"{prefix}{c.key}"] for c in named) for row in parameters]
    keys = find_links(flush.propagation.db, source, named, values)
    flush.late(source, keys, None, Lock.UPDATE)
    if isinstance(element, Update):
        flush.insert_links(source, columns, parameters)
