"""Find rows that change because a row that they refer to is deleted or gets another key.

They are changed by the database, through foreign key actions, or by the unit of work. The result is a superset: which
of the rows have changed is determined by reading them after the write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Column, ForeignKeyConstraint, Select, Table, and_, select, tuple_

from ...dialects import Lock
from ..database.pending_deltas import Touched
from ..plan import Key, Plan, Source
from ..plan.column_replacement import labelled
from ..plan.plan import KEY_ACTIONS
from .propagation import Propagation

#: columns of a row that change; ``None`` if the row is deleted
Changes: TypeAlias = frozenset[Column[Any]] | None
#: keys of rows of one table, with the columns that change
Rows: TypeAlias = dict[Key, Changes]


class Effect(NamedTuple):
    """The effect of a write on rows that refer to the written row.

    :ivar moves: whether their foreign key may refer to another row afterwards.
    """

    constraint: ForeignKeyConstraint
    changes: Changes
    moves: bool


@dataclass(frozen=True)
class KeyLink:
    """A row whose primary key includes a foreign key, so that it changes with the key of the referenced row."""

    constraint: ForeignKeyConstraint
    source: Source
    key: Key
    parent: Source
    parent_key: Key


def leads_on(
    plan: Plan,
    table: Table,
    changes: Changes = None,
    path: tuple[tuple[Table, Changes], ...] = (),
    *,
    everywhere: bool = False,
) -> list[Effect]:
    """Return the effects of a write along foreign keys that reach watched rows.

    :param changes: the columns that the write changes in rows of ``table``; ``None`` if it deletes them.
    :param path: the tables and changes that have led here.
    :param everywhere: whether all tables are watched.
    """
    found = []
    for effect in _effects(plan, table, changes):
        child = effect.constraint.table
        if (child, effect.changes) in path:
            continue
        if everywhere or child in plan.sources or leads_on(plan, child, effect.changes, (*path, (table, changes))):
            found.append(effect)
    return found


def _effects(plan: Plan, table: Table, changes: Changes) -> Iterator[Effect]:
    for constraint in (c for t in plan.tables_of_row(table) for c in plan.children.get(t, ())):
        if changes is None:
            action = (constraint.ondelete or "").upper()
            is_nullified = constraint in plan.nullified
        elif any(element.column in changes for element in constraint.elements):
            action = (constraint.onupdate or "").upper()
            is_nullified = constraint in plan.carried
        else:
            continue
        if action == "CASCADE" and changes is None:
            yield Effect(constraint, None, moves=False)
        elif action.startswith(KEY_ACTIONS) or is_nullified:
            moves = changes is not None or action.startswith("SET DEFAULT")
            yield Effect(constraint, frozenset(constraint.columns), moves)


class Dependents:
    """The rows that change with the rows of one write, by foreign key actions.

    :ivar rows: the columns that change in them, rows closest to the written ones first.
    :ivar links: the rows whose keys change with the key of another row, in the same order.
    :ivar moving: the rows that may refer to other rows afterwards, by the columns of the foreign key.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._statements = propagation.db.statements
        self._plan: Plan = propagation.db.statements.plan
        mutations = propagation.mutations
        self._everywhere = mutations is not None and mutations.hears_all
        self.rows: dict[Source, Rows] = {}
        self.links: list[KeyLink] = []
        self.moving: dict[Source, dict[frozenset[Column[Any]], dict[Key, None]]] = {}

    def find(self, written: Mapping[Table, Rows], touched: dict[Source, Touched]) -> None:
        """Lock the written rows, then the rows that change with them.

        Locks are taken from referenced to referring rows, also through tables without computations: a new child waits
        for the lock of its parent, so the children found after that lock are complete. Children that exist already are
        locked first, in the lock order that all writers use; only a child that is inserted in between is locked after
        its parent.

        :param written: rows by their base table.
        :param touched: receives the watched rows; their contributions are still to be read.
        """
        held: dict[Source, Touched] = {}
        if self._propagation.db.dialect.has_row_locks:
            Dependents(self._propagation)._descend(written, held, None)
            for source in sorted(held, key=lambda s: s.rank):
                self._lock(source, held[source].keys)
        self._descend(written, touched, held)

    def _descend(
        self,
        written: Mapping[Table, Mapping[Key, Changes]],
        touched: dict[Source, Touched],
        held: Mapping[Source, Touched] | None,
    ) -> None:
        """Find dependent rows, level by level.

        :param held: rows that are locked already; others are locked before their own dependents are searched. ``None``:
            lock no rows.
        """
        level = {t: {k: c for k, c in rows.items() if self._leads_on(t, c)} for t, rows in written.items()}
        done: set[tuple[Table, Key, Changes]] = set()
        is_first = True
        while any(level.values()):
            below: dict[Table, Rows] = {}
            for table, rows in sorted(level.items(), key=lambda item: item[0].fullname):
                rows = {key: changes for key, changes in rows.items() if (table, key, changes) not in done}
                done.update((table, key, changes) for key, changes in rows.items())
                if rows:
                    self._take(table, rows, touched, held, is_first=is_first)
                for changes in dict.fromkeys(rows.values()):
                    keys = [key for key, changed in rows.items() if changed == changes]
                    for effect in self._leads_on(table, changes):
                        child = self._base(effect.constraint.table)
                        for key in self._children(effect, keys):
                            _merge(below.setdefault(child, {}), key, effect.changes)
            level, is_first = below, False

    def _leads_on(self, table: Table, changes: Changes) -> list[Effect]:
        return self._statements.cached(
            ("leads on", table, changes, self._everywhere),
            lambda: leads_on(self._plan, table, changes, everywhere=self._everywhere),
        )

    def _base(self, table: Table) -> Table:
        return self._plan.sources[table].table if table in self._plan.sources else table

    def source(self, table: Table) -> Source:
        """Return the source of a table; for an unwatched table, a substitute."""
        mapper = self._plan.mapper_of(table) if self._everywhere else None
        return self._plan.sources.get(table) or self._statements.unwatched(table, mapper)

    def _take(
        self,
        table: Table,
        rows: Mapping[Key, Changes],
        touched: dict[Source, Touched],
        held: Mapping[Source, Touched] | None,
        *,
        is_first: bool,
    ) -> None:
        source = self.source(table)
        locks = {key: _lock_for(source, changes) for key, changes in rows.items()}
        if table in self._plan.sources or (self._everywhere and source.mapper is not None):
            for key, changes in rows.items():
                following = None if changes is None else {*changes, *source.following()}
                touched.setdefault(source, Touched()).add(key, locks[key], following)
        if not is_first:
            for key, changes in rows.items():
                _merge(self.rows.setdefault(source, {}), key, changes)
        if held is not None:
            locked = held[source].keys if source in held else {}
            self._lock(source, {key: lock for key, lock in locks.items() if key not in locked})

    def _lock(self, source: Source, keys: Mapping[Key, Lock | None]) -> None:
        if keys and self._propagation.db.dialect.has_row_locks:
            lock = max(lock for lock in keys.values() if lock is not None)
            statement = self._statements.lock_rows(source, lock)
            packed = self._propagation.db.dialect.pack("ids", source.key_shape, list(keys))
            self._propagation.db.execute(source, statement, packed)

    def _children(self, effect: Effect, keys: Sequence[Key]) -> list[Key]:
        """Return the keys of the rows that refer to the rows ``keys``."""
        constraint, changed = effect.constraint, effect.changes
        statements, dialect = self._statements, self._propagation.db.dialect
        parent, child = constraint.referred_table, constraint.table
        parent_key = self.source(parent).key_in(parent)
        shape = tuple((f"p{i}", c.type) for i, c in enumerate(parent_key))
        source = self.source(child)
        child_key = source.key_in(child)
        follows = changed is not None and not changed.isdisjoint(child_key)

        def make() -> Select[Any]:
            local = [element.parent for element in constraint.elements]
            remote = [element.column for element in constraint.elements]
            if follows:
                above = parent.alias("above")
                pairs = [column == above.c[other.key] for column, other in zip(local, remote, strict=True)]
                own = [above.c[column.key] for column in parent_key]
                joined = child.join(above, and_(*pairs))
                pair = select(*labelled([*child_key, *own])).select_from(joined)
                return pair.where(dialect.contains(own, "ids", shape))
            gone = select(*remote).where(dialect.contains(parent_key, "ids", shape))
            left = local[0] if len(local) == 1 else tuple_(*local)
            return select(*child_key).where(left.in_(gone))

        statement = statements.cached(("children", constraint, follows), make)
        what = "a change of keys" if changed is not None and effect.moves else "a delete"
        self._propagation.db.require_latest_rows(source, f"{what} in {parent.name!r} reaches rows of {child.name!r}")
        rows = self._propagation.db.execute(source, statement, dialect.pack("ids", shape, keys))
        found = [tuple(row[: len(child_key)]) for row in rows]
        if follows:
            above = self.source(parent)
            links = zip(found, rows, strict=True)
            self.links += [KeyLink(constraint, source, k, above, tuple(row[len(child_key) :])) for k, row in links]
        if effect.moves and found:
            moving = self.moving.setdefault(source, {}).setdefault(frozenset(constraint.columns), {})
            moving.update(dict.fromkeys(found))
        return found


def _merge(rows: Rows, key: Key, changes: Changes) -> None:
    known = rows.get(key, frozenset())
    rows[key] = None if changes is None or known is None else known | changes


def _lock_for(source: Source, changes: Changes) -> Lock:
    return Lock.UPDATE if changes is None else source.lock_to_change({*changes, *source.following()})
