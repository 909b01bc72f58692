"""Decide which writes need a savepoint, because they may fail after their rows are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from sqlalchemy import CheckConstraint, Column, Table, UniqueConstraint

from ..propagation.rows_of_foreign_key_actions import Changes, leads_on

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from typing import Any

    from ..plan import Plan, Source
    from ..propagation.propagation import Propagation


def may_fail_late(
    propagation: Propagation, source: Source, table: Table, columns: AbstractSet[Column[Any]] | None
) -> bool:
    """Whether an error is possible after a write, so that its rows would remain without their computed values.

    Python code of the application may fail: functions of the row, callbacks, Transforms, targets of state machines; and
    a move in a tree may turn out to create a cycle. Errors of the database count only if they leave the transaction
    usable, as on SQLite.

    :param columns: the updated columns; ``None`` if rows are inserted or deleted.
    """
    plan, statements = propagation.db.statements.plan, propagation.db.statements
    reactions = not plan.reactions.keys().isdisjoint(plan.tables_of_row(table))
    if columns is not None:
        if any(edge.recursive and not columns.isdisjoint(_columns(edge.key)) for edge in source.edges):
            return True
        if any(not columns.isdisjoint(numbering.scope) for numbering in plan.numberings_of(source)):
            return True  # the scope of a numbered row may change
        felt = source.inputs | plan.followed([table])
        if columns.isdisjoint(felt) and not source.same_row and not reactions:
            return False
    if reactions or source.same_row:
        return True
    reached = statements.cached(("reached", source, table), lambda: _reached(plan, source, table))
    if statements.cached(("python after", source, table), lambda: _runs_python(plan, reached)):
        return True
    if propagation.db.dialect.has_row_locks:
        return False  # there, an error of the database aborts the transaction
    return any(
        statements.cached(("may be refused", other.table), lambda other=other: _may_be_refused(propagation, other))  # type: ignore[misc]
        for other in reached
        if other.host is not None
    )


def _columns(expressions: Iterable[Any]) -> set[Column[Any]]:
    return {column for column in expressions if isinstance(column, Column)}


def _reached(plan: Plan, source: Source, table: Table) -> list[Source]:
    """Return the sources that a write to ``table`` may affect."""
    tables: list[tuple[Table, Changes]] = [(table, None)]
    for below in tables:  # the list grows
        effects = ((effect.constraint.table, effect.changes) for effect in leads_on(plan, *below))
        tables += [effect for effect in dict.fromkeys(effects) if effect not in tables]
    found = [source, *(plan.sources[t] for t in dict.fromkeys(t for t, _ in tables[1:]) if t in plan.sources)]
    for each in found:  # the list grows
        for host in _hosts_above(each):
            if host not in found:
                found.append(host)
    return found


def _hosts_above(source: Source) -> Iterator[Source]:
    yield from (edge.host.source for edge in source.edges)
    yield from (edge.host.source for edge, _ in source.readers)


def _runs_python(plan: Plan, reached: Iterable[Source]) -> bool:
    return any(
        source.same_row
        or not plan.reactions.keys().isdisjoint(plan.tables_of_row(source.table))
        or any(edge.python or edge.is_evaluated for edge in source.edges)
        or any(edge.python or edge.is_evaluated for edge, _ in source.readers)
        for source in reached
    )


def _may_be_refused(propagation: Propagation, source: Source) -> bool:
    """Whether the database may reject new values of a host: a CHECK, a unique constraint, a trigger."""
    assert source.host is not None
    table, written = source.host.table, source.host.written
    if any(isinstance(c, CheckConstraint) and not getattr(c, "_type_bound", False) for c in table.constraints):
        return True
    unique = [c.columns for c in table.constraints if isinstance(c, UniqueConstraint)]
    unique += [index.columns for index in table.indexes if index.unique]
    if any(not written.isdisjoint(columns) for columns in unique):
        return True
    connection, dialect = propagation.db.connection(source), propagation.db.dialect
    return propagation.db.statements.cached(("has triggers", table), lambda: dialect.has_triggers(connection, table))
