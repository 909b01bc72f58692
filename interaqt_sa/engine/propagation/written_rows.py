"""Compare the rows of a write before and after it, and report the differences to the observers."""

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
from .foreign_key_actions import Dependents, Rows
from .propagation import Propagation

Row = Mapping[str, Any]
Classes = Mapping[tuple[Source, Key], Mapper[Any]]
Found = Mapping[Source, Mapping[Key, tuple[Any, ...]]]
ByClass = dict[Mapper[Any], dict[Key, dict[str, Any]]]


class WrittenRows:
    """Existing rows of one write: as they were before it, and what became of them.

    Rows that depend on written ones, by the actions of foreign keys or by the unit of work, are among them. Whoever
    makes the write says what it names and calls, in this order: :meth:`find_dependents`, what locks the rows and reads
    what they contribute, :meth:`remember`, the write itself, :meth:`follow`, :meth:`tell`.
    """

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._dependents = Dependents(propagation)
        #: by source and by the class by which rows were looked for
        self._old: dict[tuple[Source, Mapper[Any]], tuple[dict[Key, None], ByClass]] = {}
        self._known: set[tuple[Source, Key]] = set()
        self._foretold: dict[tuple[Source, Mapper[Any]], dict[Key, Row | None]] = {}
        self._renamed: dict[Source, dict[Key, Key]] = {}
        self._found_by: dict[Source, dict[Key, tuple[Any, ...]]] = {}

    # -- before ------------------------------------------------------------------------------------------------

    def find_dependents(self, written: Mapping[Table, Rows], touched: dict[Source, Touched]) -> None:
        """Lock written rows and those that depend on them; the latter are added to ``touched``."""
        self._dependents.find(written, touched)

    def source(self, table: Any) -> Source:
        """Return the source by which rows of a table are known here."""
        return self._dependents.source(table)

    def wanted(self, touched: Mapping[Source, Touched], classes: Classes) -> dict[Source, tuple[Column[Any], ...]]:
        """Return what :meth:`remember` needs of rows and the statement that locks them can read."""
        found: dict[Source, tuple[Column[Any], ...]] = {}
        for source, rows in touched.items():
            alike = _by_class(source, rows, classes)
            if len(alike) == 1 and (columns := self._of_one_table(source, *alike)):
                found[source] = columns
        return found

    def _of_one_table(self, source: Source, mapper: Mapper[Any]) -> tuple[Column[Any], ...]:
        """Return the columns of the rows of a class whose events are waited for, if its table has all of them."""
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
        """Read rows, which are locked, as they are before the write, as far as this is asked for.

        :param classes: the classes of those that are known by it.
        :param found: those that were read when they were locked; see :meth:`wanted`.
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
        """Read rows of a class as they are before the write, if events of it are waited for."""
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
        """Return a row of a class as it was before the write, if it is known, and nothing but the write changes it."""
        _, old = self._old.get((source, mapper), ({}, {}))
        is_named = not self._renamed and key not in self._dependents.rows.get(source, {})
        return old.get(mapper, {}).get(key) if is_named else None

    def foretell(self, source: Source, mapper: Mapper[Any], key: Key, row: Row | None) -> None:
        """Note what the write has made of a row that need not be read for it; ``None`` if it is gone."""
        self._foretold.setdefault((source, mapper), {})[key] = row

    @property
    def is_empty(self) -> bool:
        """Whether no row that was there before the write is remembered."""
        return not self._known

    def is_remembered(self, source: Source, key: Key) -> bool:
        """Whether a row that was there before the write has ``key`` still."""
        return (source, key) in self._known and key not in self._renamed.get(source, {})

    def _remember_host_keys(self, source: Source, rows: Touched) -> None:
        columns = self._host_columns(source)
        if rows.columns is not None and not rows.columns.isdisjoint(columns):
            self._found_by.setdefault(source, {}).update(self._read(source, columns, rows.keys))

    def _host_columns(self, source: Source) -> Sequence[Column[Any]]:
        """Return the columns by which members find their hosts."""
        return sorted(self._propagation.db.statements.plan.found_by(source), key=lambda c: c.name)

    def _read(self, source: Source, columns: Sequence[Column[Any]], keys: Iterable[Key]) -> dict[Key, tuple[Any, ...]]:
        propagation, width = self._propagation, len(source.key)
        statement = propagation.db.statements.read_rows(source, columns)
        packed = propagation.db.dialect.pack("ids", source.key_shape, list(keys))
        return {tuple(row[:width]): tuple(row[width:]) for row in propagation.db.execute(source, statement, packed)}

    # -- after -------------------------------------------------------------------------------------------------

    def renamed(self, source: Source, old: Key, new: Key) -> None:
        """Note that the write has given a row another key."""
        self._renamed.setdefault(source, {})[old] = new

    def follow(self) -> None:
        """Let keys, hosts and same-row values of rows that the write has not named follow it."""
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
        """Put into loaded objects what the database has changed in their rows."""
        memory, mapper = self._propagation.db.memory, self._propagation.db.statements.plan.mapper_of(source.table)
        if mapper is None:
            return
        changed = {key: c for key, c in rows.items() if c is not None and any(True for _ in memory.find(mapper, key))}
        columns = sorted({column for c in changed.values() for column in c}, key=lambda c: c.name)
        read = [c for c in columns if c in source.table.columns.values()]
        for key, row in (self._read(source, read, changed) if changed else {}).items():
            for instance in memory.find(mapper, key):
                # a flush has written what was pending; SQLAlchemy takes every action on update for a cascade
                pending = () if self._propagation.db.session._flushing else instance_state(instance).committed_state
                names = {c: instance_state(instance).mapper.get_property_by_column(c).key for c in read}
                fresh = {c: value for c, value in zip(read, row, strict=True) if names[c] not in pending}
                memory.put_columns(instance, fresh)

    def _now(self, source: Source, keys: Iterable[Key]) -> list[Key]:
        """Return the keys that rows have after the write."""
        renamed = self._renamed.get(source, {})
        return [renamed.get(key, key) for key in keys]

    def _rename_dependents(self) -> None:
        """Find the new keys of rows whose keys hold that of a row with a new key."""
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
        """Let what is to be subtracted from hosts go to them by the keys that they have now."""
        for source, old in self._found_by.items():
            renamed = self._renamed.get(source, {})
            new = self._read(source, self._host_columns(source), [renamed.get(key, key) for key in old])
            pairs = [(values, new[now]) for key, values in old.items() if (now := renamed.get(key, key)) in new]
            self._propagation.rename_hosts(source, self._host_columns(source), [(a, b) for a, b in pairs if a != b])

    # -- telling -----------------------------------------------------------------------------------------------

    def tell_rekeyed(self) -> None:
        """Tell of the rows that have another key: those first that others have taken the key of."""
        for (source, mapper), (listed, old) in self._old.items() if self._renamed else ():
            renamed = self._renamed.get(source, {})
            if keys := [key for key in _in_order(renamed) if key in listed]:
                self._tell(source, mapper, keys, old)
                for key in keys:
                    del listed[key]

    def tell(self) -> None:
        """Tell what became of the rows."""
        if not self._old:
            return
        self.tell_rekeyed()
        for (source, mapper), (listed, old) in self._old.items():
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
    """Return keys so that a row leaves its key before another one takes it."""
    ordered: dict[Key, None] = {}
    for key in renamed:
        path = []
        while key in renamed and key not in ordered and key not in path:
            path.append(key)
            key = renamed[key]
        ordered.update(dict.fromkeys(reversed(path)))
    return list(ordered)
