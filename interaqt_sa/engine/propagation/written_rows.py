"""Compare the rows of a write before and after it, and report the differences to the listener."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state

from ..database.pending_deltas import Touched
from ..database.polymorphic_rows import read_by_class
from ..database.same_row_functions import refresh_same_row
from ..plan import Key, Source
from .propagation import Propagation
from .rows_of_foreign_key_actions import Dependents, Rows

Row = Mapping[str, Any]
Classes = Mapping[tuple[Source, Key], Mapper[Any]]
Found = Mapping[Source, Mapping[Key, tuple[Any, ...]]]
ByClass = dict[Mapper[Any], dict[Key, dict[str, Any]]]


class WrittenRows:
    """The existing rows of one write: their old images, and the comparison with the new ones.

    Rows that change with written ones, by foreign key actions or by the unit of work, are included. The caller calls,
    in this order: :meth:`find_dependents`, the lock pass that reads the old contributions, :meth:`remember`, the write
    itself, :meth:`follow`, :meth:`tell`.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._dependents = Dependents(propagation)
        #: by source and by the class under which the rows were looked up
        self._old: dict[tuple[Source, Mapper[Any]], tuple[dict[Key, None], ByClass]] = {}
        self._known: set[tuple[Source, Key]] = set()
        self._foretold: dict[tuple[Source, Mapper[Any]], dict[Key, Row | None]] = {}
        self._renamed: dict[Source, dict[Key, Key]] = {}
        self._found_by: dict[Source, dict[Key, tuple[Any, ...]]] = {}

    # -- before ------------------------------------------------------------------------------------------------

    def find_dependents(self, written: Mapping[Table, Rows], touched: dict[Source, Touched]) -> None:
        """Lock the written rows and their dependents; the latter are added to ``touched``."""
        self._dependents.find(written, touched)

    def source(self, table: Any) -> Source:
        """Return the source of a table; for an unwatched table, a substitute."""
        return self._dependents.source(table)

    def wanted(self, touched: Mapping[Source, Touched], classes: Classes) -> dict[Source, tuple[Column[Any], ...]]:
        """Return the columns that :meth:`remember` needs and that the locking statement of the rows can read."""
        found: dict[Source, tuple[Column[Any], ...]] = {}
        for source, rows in touched.items():
            alike = _by_class(source, rows, classes)
            if len(alike) == 1 and (columns := self._of_one_table(source, *alike)):
                found[source] = columns
        return found

    def _of_one_table(self, source: Source, mapper: Mapper[Any]) -> tuple[Column[Any], ...]:
        """Return the stored columns of a class with wanted events, if all of them are in its own table."""
        mutations, statements = self._propagation.mutations, self._propagation.db.statements
        if mutations is None or not mutations.wanted(mapper) or statements.plan.is_narrowed(mapper):
            return ()

        def make() -> tuple[Column[Any], ...]:
            columns = (*statements.stored(mapper).values(),)
            return columns if all(column.table is source.table for column in columns) else ()

        return statements.cached(("columns of one table", source, mapper), make)

    def remember(
        self, touched: Mapping[Source, Touched], classes: Classes | None = None, found: Found | None = None
    ) -> None:
        """Read the old images of locked rows, for classes with wanted events.

        :param classes: the classes of rows, as far as they are known.
        :param found: the values that the locking statement has read; see :meth:`wanted`.
        """
        for source, rows in touched.items():
            self._remember_host_keys(source, rows)
            for mapper, keys in _by_class(source, rows, classes or {}).items():
                self.remember_rows(source, mapper, keys, (found or {}).get(source))

    def remember_rows(
        self,
        source: Source,
        mapper: Mapper[Any],
        keys: Iterable[Key],
        found: Mapping[Key, tuple[Any, ...]] | None = None,
    ) -> None:
        """Read the old images of rows of a class, if its events are wanted."""
        mutations = self._propagation.mutations
        if mutations is None or not mutations.wanted(mapper):
            return
        fresh = [key for key in keys if (source, key) not in self._known]
        if not fresh:
            return
        self._known.update((source, key) for key in fresh)
        listed, old = self._old.setdefault((source, mapper), ({}, {}))
        listed.update(dict.fromkeys(fresh))
        if found:
            names = self._propagation.db.statements.stored(mapper)
            read = {key: dict(zip(names, found[key], strict=True)) for key in fresh if key in found}
            old.setdefault(mapper, {}).update(read)
            fresh = [key for key in fresh if key not in read]
            if not fresh:
                return
        for own, rows in read_by_class(self._propagation.db, source, mapper, fresh).items():
            old.setdefault(own, {}).update(rows)

    def remembered(self, source: Source, mapper: Mapper[Any], key: Key) -> Mapping[str, Any] | None:
        """Return the old image of a row, if it is known and only the write itself changes the row."""
        _, old = self._old.get((source, mapper), ({}, {}))
        is_named = not self._renamed and key not in self._dependents.rows.get(source, {})
        return old.get(mapper, {}).get(key) if is_named else None

    def foretell(self, source: Source, mapper: Mapper[Any], key: Key, row: Row | None) -> None:
        """Record the new image of a row that need not be read; ``None`` if the row is deleted."""
        self._foretold.setdefault((source, mapper), {})[key] = row

    @property
    def is_empty(self) -> bool:
        """Whether no old image is remembered."""
        return not self._known

    def is_remembered(self, source: Source, key: Key) -> bool:
        """Whether the old image of a row is remembered and the row still has ``key``."""
        return (source, key) in self._known and key not in self._renamed.get(source, {})

    def _remember_host_keys(self, source: Source, rows: Touched) -> None:
        columns = self._host_columns(source)
        if rows.columns is not None and not rows.columns.isdisjoint(columns):
            self._found_by.setdefault(source, {}).update(self._read(source, columns, rows.keys))

    def _host_columns(self, source: Source) -> Sequence[Column[Any]]:
        """Return the columns by which members refer to their hosts."""
        return sorted(self._propagation.db.statements.plan.found_by(source), key=lambda c: c.name)

    def _read(self, source: Source, columns: Sequence[Column[Any]], keys: Iterable[Key]) -> dict[Key, tuple[Any, ...]]:
        propagation, width = self._propagation, len(source.key)
        statement = propagation.db.statements.read_rows(source, columns)
        packed = propagation.db.dialect.pack("ids", source.key_shape, list(keys))
        return {tuple(row[:width]): tuple(row[width:]) for row in propagation.db.execute(source, statement, packed)}

    # -- after -------------------------------------------------------------------------------------------------

    def renamed(self, source: Source, old: Key, new: Key) -> None:
        """Record that the write has given a row another key."""
        self._renamed.setdefault(source, {})[old] = new

    def follow(self) -> None:
        """Update keys, pending deltas and same-row values of the rows that the write has changed indirectly."""
        dependents = self._dependents
        if not (self._renamed or self._found_by or dependents.rows or dependents.links):
            return
        propagation = self._propagation
        self._rename_dependents()
        for source, renamed in self._renamed.items():
            for old, new in renamed.items():
                propagation.rekeyed(source, old, new)
        for source, moving in self._dependents.moving.items():
            for columns, moved in moving.items():
                propagation.moved(source, self._now(source, moved), columns)
        for source, rows in self._dependents.rows.items():
            changed = [key for key, changes in rows.items() if changes is not None]
            if source.same_row and changed:
                refresh_same_row(propagation.db, source, self._now(source, changed))
            self._refresh_loaded(source, rows)
        self._rename_hosts()

    def _refresh_loaded(self, source: Source, rows: Rows) -> None:
        """Set the values that the database has changed on loaded objects."""
        memory, mapper = self._propagation.db.memory, self._propagation.db.statements.plan.mapper_of(source.table)
        if mapper is None:
            return
        changed = {key: c for key, c in rows.items() if c is not None and any(True for _ in memory.find(mapper, key))}
        columns = sorted({column for c in changed.values() for column in c}, key=lambda c: c.name)
        read = [c for c in columns if c in source.table.columns.values()]
        for key, row in (self._read(source, read, changed) if changed else {}).items():
            for instance in memory.find(mapper, key):
                # a flush has written the pending values; SQLAlchemy treats every action on update as a cascade
                pending = () if self._propagation.db.session._flushing else instance_state(instance).committed_state
                names = {c: instance_state(instance).mapper.get_property_by_column(c).key for c in read}
                fresh = {c: value for c, value in zip(read, row, strict=True) if names[c] not in pending}
                memory.put_columns(instance, fresh)

    def _now(self, source: Source, keys: Iterable[Key]) -> list[Key]:
        """Return the keys that rows have after the write."""
        renamed = self._renamed.get(source, {})
        return [renamed.get(key, key) for key in keys]

    def _rename_dependents(self) -> None:
        """Find the new keys of rows whose keys include the changed key of another row."""
        for link in self._dependents.links:
            moved = self._renamed.get(link.parent, {})
            parent_key = moved.get(link.parent_key, link.parent_key)
            elements = link.constraint.elements
            above = self._read(link.parent, [element.column for element in elements], [parent_key]).get(parent_key)
            if above is None:
                continue
            old = self._renamed.get(link.source, {}).get(link.key, link.key)
            values = {element.parent: value for element, value in zip(elements, above, strict=True)}
            new = tuple(values.get(column, part) for column, part in zip(link.source.key, old, strict=True))
            if new != old and self._read(link.source, link.source.key, [new]):
                self.renamed(link.source, link.key, new)

    def _rename_hosts(self) -> None:
        """Address the pending deltas of hosts by the keys that the hosts have after the write."""
        for source, old in self._found_by.items():
            renamed = self._renamed.get(source, {})
            new = self._read(source, self._host_columns(source), [renamed.get(key, key) for key in old])
            pairs = [(values, new[now]) for key, values in old.items() if (now := renamed.get(key, key)) in new]
            self._propagation.rename_hosts(source, self._host_columns(source), [(a, b) for a, b in pairs if a != b])

    # -- publishing --------------------------------------------------------------------------------------------

    def tell_rekeyed(self) -> None:
        """Publish rows whose key has changed; a row that has taken over another row's old key comes after that row."""
        for (source, mapper), (listed, old) in self._old.items() if self._renamed else ():
            renamed = self._renamed.get(source, {})
            if keys := [key for key in _in_order(renamed) if key in listed]:
                self._tell(source, mapper, keys, old)
                for key in keys:
                    del listed[key]

    def tell(self) -> None:
        """Publish the differences between old and new images."""
        if not self._old:
            return
        self.tell_rekeyed()
        # rows before those that they refer to, so that deleted links come before their records
        plan = self._propagation.db.statements.plan
        for (source, mapper), (listed, old) in sorted(
            self._old.items(), key=lambda item: -plan.height(item[0][0].table)
        ):
            if listed:
                self._tell(source, mapper, list(listed), old)
        self._old.clear()

    def _tell(self, source: Source, mapper: Mapper[Any], keys: Sequence[Key], old: ByClass) -> None:
        mutations = self._propagation.mutations
        assert mutations is not None
        renamed = self._renamed.get(source, {})
        foretold = self._foretold.get((source, mapper), {})
        now = {renamed.get(key, key): key for key in keys if key not in foretold}
        found = read_by_class(self._propagation.db, source, mapper, now) if now else {}
        new = {own: {now[key]: row for key, row in rows.items()} for own, rows in found.items()}
        told = {key: dict(row) for key in keys if (row := foretold.get(key)) is not None}
        if told:
            new.setdefault(mapper, {}).update(told)
        wanted = dict.fromkeys(keys)
        ordered = {own: {key: rows[key] for key in wanted if key in rows} for own, rows in old.items()}
        mutations.changed(ordered, new)


def _by_class(source: Source, rows: Touched, classes: Classes) -> dict[Mapper[Any], list[Key]]:
    alike: dict[Mapper[Any], list[Key]] = {}
    for key in rows.keys:
        mapper = classes.get((source, key)) or source.mapper
        if mapper is not None:
            alike.setdefault(mapper, []).append(key)
    return alike


def _in_order(renamed: Mapping[Key, Key]) -> list[Key]:
    """Return keys ordered so that a row gives up its key before another row takes it."""
    ordered: dict[Key, None] = {}
    for key in renamed:
        path = []
        while key in renamed and key not in ordered and key not in path:
            path.append(key)
            key = renamed[key]
        ordered.update(dict.fromkeys(reversed(path)))
    return list(ordered)
