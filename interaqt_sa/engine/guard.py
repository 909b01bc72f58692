"""The net under the session: sees every Core statement of a managed connection before it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Column, Table
from sqlalchemy.orm import FromStatement
from sqlalchemy.sql.dml import Delete, Insert, Update

from ..errors import UnmanagedWriteError
from .deletes import leads_on
from .dialects import Lock
from .execution import ENGINE_OPTIONS
from .flush import Flush
from .links import find_links
from .plan import Plan, Source
from .touched import Key

if TYPE_CHECKING:
    from collections.abc import Callable

UnmanagedDML = Literal["raise", "warn", "allow"]

#: execution option of statements that the bulk handler runs through the session itself
MANAGED_OPTION = "interaqt_sa_managed"


def is_watched(element: Any, options: Mapping[str, Any], plan: Plan) -> bool:
    """Whether a statement writes to a managed table, if only by a cascade, and is not the engine's own."""
    if not isinstance(element, (Insert, Update, Delete)) or ENGINE_OPTIONS.keys() <= options.keys():
        return False
    table = element.table
    return table in plan.sources or (
        isinstance(element, Delete) and isinstance(table, Table) and bool(leads_on(plan, table))
    )


def watch_statement(
    element: Insert | Update | Delete,
    parameters: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
    plan: Plan,
    flush: Flush | None,
    refuse: Callable[[UnmanagedWriteError], None],
) -> None:
    """Take part in a statement of the unit of work, or refuse one that the engine cannot follow.

    :param element: a statement that :func:`is_watched`.
    :param flush: the running flush, if one runs.
    :param refuse: raises, warns, or does nothing, as the system was told.
    """
    assert isinstance(element.table, Table)
    source = plan.sources.get(element.table)
    if flush is None:
        refuse(unmanaged_write(element.table, type(element).__name__.lower()))
    elif source is None:
        return  # the rows that go with it were found before the flush
    elif element.table in plan.secondaries and not _of_object(source, options):
        _link_rows(element, parameters, source, flush)
    elif not isinstance(element, Insert):
        _late_rows(element, parameters, source, flush)


def unmanaged_write(table: Table, verb: str) -> UnmanagedWriteError:
    """Return the error for a write past the session."""
    return UnmanagedWriteError(
        f"this {verb} on {table.fullname!r} goes past the session, so that computed values cannot follow it; "
        f"use session.execute({verb}(...)) or the unit of work instead of bulk_*() and connection.execute(), or give "
        "System(unmanaged_dml='allow') and run system.repair() afterwards",
        table=table.fullname,
    )


def may_hold_writes(context: Any) -> bool:
    """Whether a statement may hold another one that writes.

    It is asked about every statement, but only once it is compiled: to look for CTEs in what is not takes too long.
    """
    compiled = context.compiled
    return compiled is not None and (
        bool(getattr(compiled, "ctes", None)) or isinstance(compiled.statement, FromStatement)
    )


def inner_writes(context: Any, plan: Plan) -> Iterator[UnmanagedWriteError]:
    """Yield the errors for writes inside another statement, of which nobody knows what they write.

    :param context: of a statement that :func:`may_hold_writes`.
    """
    compiled, options = context.compiled, context.execution_options
    if ENGINE_OPTIONS.keys() <= options.keys():
        return
    # the bulk handler asks by a statement of its own which rows match, and must not write by that
    only_asks = MANAGED_OPTION in options and not (context.isinsert or context.isupdate or context.isdelete)
    parts = [cte.element for cte in compiled.ctes or ()]
    if isinstance(compiled.statement, FromStatement):
        parts.append(compiled.statement.element)
    for part in parts:
        if isinstance(part, (Insert, Update, Delete)):
            table = plain_table(part.table)
            if only_asks or table in plan.sources or (isinstance(part, Delete) and leads_on(plan, table)):
                yield _inner_write(table, type(part).__name__.lower())


def _inner_write(table: Table, verb: str) -> UnmanagedWriteError:
    return UnmanagedWriteError(
        f"this {verb} on {table.fullname!r} is part of another statement, so that computed values cannot follow it; "
        f"run it by itself with session.execute({verb}(...).returning(...)) and go on with what that returns, or give "
        "System(unmanaged_dml='allow') and run system.repair() afterwards",
        table=table.fullname,
    )


def plain_table(table: Any) -> Any:
    """Return the table itself for the annotated copy of it that ``insert(MappedClass)`` and the like carry."""
    return table.metadata.tables.get(table.key, table) if isinstance(table, Table) else table


def _of_object(source: Source, options: Mapping[str, Any]) -> bool:
    """Whether a row is written for an object of its own, whose class is mapped to a secondary table."""
    mapper = source.mapper
    return mapper is not None and options.get("compiled_cache") is mapper.base_mapper._compiled_cache


def _late_rows(element: Update | Delete, parameters: Sequence[Mapping[str, Any]], source: Source, flush: Flush) -> None:
    """Lock and read rows of a write that nothing announced: orphans, nullified keys, post_update."""
    table = element.table
    assert isinstance(table, Table)
    key = list(table.primary_key.columns)
    keys = flush.unseen(source, [k for row in parameters if (k := _key_of(key, row)) is not None])
    if not keys:
        return
    if isinstance(element, Delete):
        flush.late(source, keys, None, Lock.UPDATE)
        return
    columns = {table.c[name] for row in parameters for name in row if name in table.c}
    if columns & source.inputs or source.same_row:
        lock = source.lock_to_change(columns)
        flush.late(source, keys, columns | source.following(), lock)


def _key_of(key: Sequence[Column[Any]], row: Mapping[str, Any]) -> Key | None:
    # the unit of work names the key in WHERE by label in an UPDATE and by key in a DELETE
    values = tuple(row.get(column._label or "", row.get(column.key)) for column in key)
    return None if None in values else values


def _link_rows(element: Any, parameters: Sequence[Mapping[str, Any]], source: Source, flush: Flush) -> None:
    """Rows of a secondary table are written by the unit of work without an object of their own."""
    table = element.table
    columns = [c for c in table.columns if any(c.key in row for row in parameters)]
    if isinstance(element, Insert):
        flush.insert_links(source, columns, parameters)
        return
    prefix = "old_" if isinstance(element, Update) else ""
    named = [c for c in table.columns if any(f"{prefix}{c.key}" in row for row in parameters)]
    values = [tuple(row[f"{prefix}{c.key}"] for c in named) for row in parameters]
    keys = find_links(flush.propagation, source, named, values)
    flush.late(source, keys, None, Lock.UPDATE)
    if isinstance(element, Update):
        flush.insert_links(source, columns, parameters)
