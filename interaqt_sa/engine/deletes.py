"""What goes, or is cut loose, together with deleted rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Select, Table, select, tuple_

from .dialects import Lock
from .plan import Plan, Source
from .propagation import Propagation
from .touched import Key, Touched

_ACTIONS = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


def find_dependents(
    propagation: Propagation, deleted: Mapping[Table, Mapping[Key, None]], touched: dict[Source, Touched]
) -> None:
    """Lock deleted rows, then the rows that the database or the unit of work will delete or cut loose with them.

    From the top down, through tables that nothing is declared on too: a new child waits for its parent's lock, so
    that whoever is found after it is complete. Those that are there already are locked before, from the bottom up, as
    everyone does who writes them; so only a child that comes in between is locked after its parent.

    :param touched: gets the rows that are watched; what they contribute is still to be read.
    """
    held: dict[Source, Touched] = {}
    if propagation.dialect.has_row_locks:
        _descend(propagation, deleted, held, None)
        for source in sorted(held, key=lambda s: s.rank):
            _lock(propagation, source, list(held[source].keys))
    _descend(propagation, deleted, touched, held)


def _descend(
    propagation: Propagation,
    deleted: Mapping[Table, Mapping[Key, None]],
    touched: dict[Source, Touched],
    held: Mapping[Source, Touched] | None,
) -> None:
    """Find dependents, level by level.

    :param held: rows that are locked already; the others are locked before what is below them is looked for.
        ``None``: no row is locked.
    """
    plan = propagation.statements.plan
    level: dict[Table, dict[Key, None]] = {t: dict(k) for t, k in deleted.items() if leads_on(plan, t)}
    done: set[tuple[Table, Key]] = set()
    while level:
        below: dict[Table, dict[Key, None]] = {}
        for table, keys in sorted(level.items(), key=lambda item: item[0].fullname):
            keys = {key: None for key in keys if (table, key) not in done}
            if not keys:
                continue
            done.update((table, key) for key in keys)
            _take(propagation, table, keys, touched, held)
            for constraint in leads_on(plan, table):
                child = _base(plan, constraint.table)
                found = _children(propagation, constraint, keys)
                if found:
                    below.setdefault(child, {}).update(dict.fromkeys(found))
        # rows at the end of the chain are locked too: their contributions go
        for table, keys in below.items():
            if not leads_on(plan, table):
                _take(propagation, table, keys, touched, held)
        level = {table: keys for table, keys in below.items() if leads_on(plan, table)}


def _base(plan: Plan, table: Table) -> Table:
    return plan.sources[table].table if table in plan.sources else table


def leads_on(plan: Plan, table: Table, path: tuple[Table, ...] = ()) -> list[ForeignKeyConstraint]:
    """Return the foreign keys to ``table`` along which a delete reaches watched rows."""
    found = []
    for constraint in plan.children.get(table, ()):
        child = constraint.table
        if child in path or not _acts(plan, constraint):
            continue
        if child in plan.sources or leads_on(plan, child, (*path, table)):
            found.append(constraint)
    return found


def _acts(plan: Plan, constraint: ForeignKeyConstraint) -> bool:
    """Whether deleting the parent writes the child: by the database, or by the unit of work."""
    return (constraint.ondelete or "").upper() in _ACTIONS or constraint in plan.nullified


def _take(
    propagation: Propagation,
    table: Table,
    keys: Mapping[Key, None],
    touched: dict[Source, Touched],
    held: Mapping[Source, Touched] | None,
) -> None:
    plan = propagation.statements.plan
    source = plan.sources.get(table) or propagation.statements.unwatched(table)
    for key in keys if table in plan.sources else ():
        touched.setdefault(source, Touched()).add(key, Lock.UPDATE, None)
    if held is not None:
        locked = held[source].keys if source in held else {}
        _lock(propagation, source, [key for key in keys if key not in locked])


def _lock(propagation: Propagation, source: Source, keys: Sequence[Key]) -> None:
    if keys and propagation.dialect.has_row_locks:
        statement = propagation.statements.lock_rows(source, Lock.UPDATE)
        propagation.execute(source, statement, propagation.dialect.pack("ids", source.key_shape, keys))


def _children(propagation: Propagation, constraint: ForeignKeyConstraint, keys: Mapping[Key, None]) -> list[Key]:
    statements, dialect, plan = propagation.statements, propagation.dialect, propagation.statements.plan
    parent, child = constraint.referred_table, constraint.table
    parent_key = tuple(parent.primary_key.columns)
    shape = tuple((f"p{i}", c.type) for i, c in enumerate(parent_key))

    def make() -> Select[Any]:
        local = [element.parent for element in constraint.elements]
        remote = [element.column for element in constraint.elements]
        gone = select(*remote).where(dialect.contains(parent_key, "ids", shape))
        left = local[0] if len(local) == 1 else tuple_(*local)
        return select(*child.primary_key.columns).where(left.in_(gone))

    statement = statements.keep(("children", constraint), make)
    source = plan.sources.get(child) or statements.unwatched(child)
    propagation.require_latest_rows(source, f"a delete in {parent.name!r} reaches rows of {child.name!r}")
    rows = propagation.execute(source, statement, dialect.pack("ids", shape, list(keys)))
    return [tuple(row) for row in rows]
