"""One flush of the unit of work: locks and old images before it, deltas and events after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Connection, Table, inspect
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import get_history, instance_dict, instance_state, set_committed_value
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE

from ...dialects import Lock
from ..computations.agenda import run_agenda
from ..computations.engine_row_writes import start_machines
from ..computations.event_delivery import Mutations
from ..computations.initial_states import initial_value
from ..database.host_key_locks import lock_rekeyed
from ..database.link_rows import find_links
from ..database.loaded_objects import Memory, changed_attributes, identity_of
from ..database.pending_deltas import Touched
from ..database.polymorphic_rows import read_by_class
from ..database.same_row_functions import SameRowValues, refresh_same_row
from ..locking.lock_pass import LockPass
from ..plan import Edge, Key, Plan, Source, Watch, watch_of
from ..propagation.propagation import Propagation
from ..propagation.rows_of_foreign_key_actions import Rows
from ..propagation.write_bracket import Write, WriteBracket
from ..sql.statement_cache import Statements
from .computed_writes import refuse_computed_write
from .flush_mutation_events import FlushEvents
from .flush_predictions import ForetoldRows
from .flushed_numbers import FlushedNumbers
from .late_key_refusal import refuse_unwritten_keys
from .partial_flush import FlushedObjects
from .row_switches import RowSwitches
from .unwatched_row_locks import Others

if TYPE_CHECKING:
    from .running_flush import RunningFlush


class Flush:
    """One flush of one session."""

    def __init__(self, session: Session, statements: Statements) -> None:
        self.session = session
        self.plan: Plan = statements.plan
        self.propagation = Propagation(session, statements, Memory(session, statements.plan))
        mutations = self.propagation.mutations = Mutations(self.propagation)
        self._bracket = WriteBracket(self.propagation)
        self.written = self._bracket.written
        self.events = FlushEvents(self.propagation, mutations, self.written)
        self.foretold = ForetoldRows(self.propagation, self.written)
        self.same_row = SameRowValues(self.propagation.db)
        self.switches = RowSwitches(self.propagation)
        self.numbers = FlushedNumbers(self.propagation)
        self._touched: dict[Source, Touched] = {}
        self._classes: dict[tuple[Source, Key], Mapper[Any]] = {}
        #: written rows that others refer to, by their base table
        self._referred: dict[Table, Rows] = {}
        self._changed: list[tuple[Any, Watch]] = []
        self._new: list[tuple[Any, Watch]] = []
        self._hosts: dict[Source, dict[Key, None]] = {}
        self._changed_hosts: list[object] = []
        self._rekeyed: list[tuple[Any, Watch, Source]] = []
        #: ids of objects whose foreign keys the unit of work sets from a collection
        self._carried: set[int] = set()
        self._renamed: list[tuple[Any, Mapper[Any], Source]] = []
        #: with the columns whose changes are prepared for; ``None``: all columns
        self._seen: dict[tuple[Source, Key], set[Any] | None] = {}
        self._inserted: dict[Source, dict[Key, None]] = {}
        self._late: dict[Source, dict[Key, frozenset[Any] | None]] = {}
        self._links: list[tuple[Source, list[Any], list[dict[str, Any]]]] = []
        self._others = Others(self.propagation)
        self._replaced: dict[Source, dict[Key, None]] = {}
        #: whether loaded values are the written ones
        self._is_sure = True
        #: states that state machines have assigned to new rows
        self._started: dict[Column[Any], list[Any]] = {}

    # -- before ------------------------------------------------------------------------------------------------

    def before(self, flushed: FlushedObjects, orphans: Iterable[object]) -> None:
        """Collect a superset of the rows that the flush will write, lock them and read their contributions.

        :param flushed: the objects that the flush writes.
        :param orphans: objects that it may delete besides these; see :func:`.find_orphans`.
        """
        self.events.new = flushed.new
        for instance in flushed.new:
            self._collect_new(instance)
        for instance in flushed.dirty:
            self._collect_dirty(instance)
        for instance in flushed.deleted:
            self._collect_deleted(instance)
        for instance in orphans:
            self._collect_deleted(instance)
            if (watch := watch_of(self.plan, type(instance))) is not None:
                self._changed.append((instance, watch))  # unless it has another parent by now
        self.switches.before_flush(self._new)
        for source in {watch.source for _, watch in self._new if watch.source is not None}:
            self.propagation.db.connection(source)  # raises before any write if values cannot be maintained
        try:
            self.numbers.before_flush(self._new, self._carried)
            self._lock_and_read()
            self.same_row.before_flush(self._new, self._changed, self._carried)
        except BaseException:
            self.same_row.take_back()
            self.numbers.take_back()
            raise

    def _lock_and_read(self) -> None:
        """Lock the rows that the flush will write, and read their contributions and old images."""
        if self._referred:
            self.written.find_dependents(self._referred, self._touched)
            for table, referred in self._referred.items():
                self._see_deleted(table, [key for key, changes in referred.items() if changes is None])
        edges = {edge for _, watch in (*self._new, *self._changed) for edge, _ in watch.edge_keys}
        for instance in self._changed_hosts if edges or self._touched else ():
            self._others.refers_still(instance)
        others = self._others if self._touched or self._hosts or edges or any(self._others.watched) else None
        locks = LockPass(
            self.propagation.reader,
            self._touched,
            written=(*self._hosts, *others.written) if others else self._hosts,
            referred=others.referred if others else (),
            edges=edges,
            wanted=self.written.wanted(self._touched, self._classes),
        )
        self._add_known(locks, edges)
        if others is not None:
            others.add_to(locks)
        if self._touched or locks:
            self._bracket.open(Write(self._touched, locks, self._classes))
            self.numbers.require_same_scopes(self._changed, self._bracket.scopes)
        for source, rows in self._touched.items():
            self._seen.update({(source, key): rows.columns for key in rows.keys})

    def _add_known(self, locks: LockPass, edges: set[Edge]) -> None:
        """Add the rows that new and changed objects refer to, as far as they are known in memory.

        :param edges: the edges over which these objects contribute.
        """
        if self._new or self._touched:
            for source, keys in self._hosts.items():
                for key in keys:
                    locks.add_host(source, key)
        not_locked_ahead: set[Edge] = set()
        for instance, watch in (*self._new, *self._changed):
            for edge, reference in watch.host_references:
                host = reference.key_in(instance)
                if host is not None and None not in host:
                    locks.add_host_over(edge, host)
            for neighbour in watch.neighbours:
                read = neighbour.reference.key_in(instance)
                if read is None:
                    not_locked_ahead.update(neighbour.edges)
                elif None not in read:
                    locks.add_neighbour(neighbour.reference.target, read, neighbour.lock, checked=neighbour.checked)
        for instance, watch in self._changed:
            for neighbour in watch.beyond:
                read = neighbour.reference.key_in(instance)
                if read is not None and None not in read:
                    locks.add_neighbour(neighbour.reference.target, read, neighbour.lock, checked=False)
        self.propagation.locked_ahead = (edges & self.propagation.db.statements.locked_ahead) - not_locked_ahead

    def _collect_new(self, instance: object) -> None:
        self._others.refers(instance)
        watch = watch_of(self.plan, type(instance))
        if watch is None:
            return
        loaded = instance_dict(instance)
        if not watch.computed.keys().isdisjoint(loaded):
            refuse_computed_write(instance, watch, loaded.keys())
        for machine in watch.initial:
            state = initial_value(machine, dict(loaded))
            setattr(instance, machine.value.attribute, state)
            self._started.setdefault(machine.value.column, []).append(state)
        self._new.append((instance, watch))
        self._collect_members(instance, watch, loaded)

    def _collect_dirty(self, instance: object) -> None:
        watch, state = watch_of(self.plan, type(instance)), instance_state(instance)
        if watch is None:
            if changed := changed_attributes(state):
                self._others.updated(instance)
                self._others.refers(instance)
                self._tell_of(instance, (), changed)
            return
        assigned = state.committed_state.keys()
        if not watch.computed.keys().isdisjoint(assigned):
            refuse_computed_write(instance, watch, assigned)
        changed = changed_attributes(state)
        if watch.source is not None and watch.source.host is not None and changed:
            self._hosts.setdefault(watch.source, {})[identity_of(state)] = None
            self._changed_hosts.append(instance)
        if watch.source is not None and changed and watch.matters(changed):
            lock = Lock.NO_KEY_UPDATE if watch.shared_inputs.isdisjoint(changed) else Lock.UPDATE
            self._touch(watch.source, identity_of(state), lock, watch.changed_columns(changed))
            self._changed.append((instance, watch))
            self._classes[watch.source, identity_of(state)] = self.events.class_of(state)
            self.foretold.update(watch.source, state, changed)
        elif changed:
            self._others.updated(instance)
            self._tell_of(instance, watch.changed_columns(changed), changed)
        if changed:
            self._others.refers(instance)
        if not watch.referred.isdisjoint(changed):
            columns = frozenset(watch.changed_columns(watch.referred & changed))
            self._note_referred(watch, identity_of(state), columns)
            source = watch.source or self.written.source(watch.mapper.base_mapper.local_table)
            self._renamed.append((instance, watch.mapper, source))
        if watch.source is not None and not watch.found_by.isdisjoint(changed):
            lock_rekeyed(self.propagation.db, watch.source)
            self._rekeyed.append((instance, watch, watch.source))
        self._collect_members(instance, watch, changed)

    def _collect_deleted(self, instance: object) -> None:
        watch = watch_of(self.plan, type(instance))
        if watch is None or watch.source is None:
            self._others.deleted(instance)
            self._tell_of(instance, None)
        if watch is None:
            return
        key = identity_of(instance_state(instance))
        if watch.source is not None:
            self._touch(watch.source, key, Lock.UPDATE, None)
            self._classes[watch.source, key] = self.events.class_of(instance_state(instance))
            self.foretold.delete(watch.source, instance_state(instance))
        self._note_referred(watch, key, None)
        self._collect_members(instance, watch, instance_state(instance).committed_state)

    def _collect_members(self, instance: object, watch: Watch, changed: Iterable[str]) -> None:
        """Collect the members of changed collections, which without a backref are missing in ``session.dirty``."""
        for name in watch.collections.intersection(changed):
            relationship = watch.mapper.relationships[name]
            history = get_history(instance, name, passive=PASSIVE_NO_INITIALIZE)
            members = [*((m, False) for m in history.added), *((m, True) for m in history.deleted)]
            self._carried.update(id(member) for member, _ in members)
            for member, is_removed in members:
                state = instance_state(member) if member is not None else None
                member_watch = watch_of(self.plan, type(member)) if state is not None and state.key else None
                if state is None or member_watch is None or member_watch.source is None:
                    continue
                leaves = relationship.cascade.delete_orphan and is_removed
                columns = None if leaves else set(relationship.remote_side)
                self._touch(
                    member_watch.source, identity_of(state), Lock.UPDATE if leaves else Lock.NO_KEY_UPDATE, columns
                )
                self._classes[member_watch.source, identity_of(state)] = self.events.class_of(state)
                if leaves:  # the flush will delete it, unless it has another parent by then
                    self._note_referred(member_watch, identity_of(state), None)
                self._changed.append((member, member_watch))

    def _note_referred(self, watch: Watch, key: Key, changes: frozenset[Any] | None) -> None:
        table = watch.mapper.base_mapper.local_table
        assert isinstance(table, Table)
        self._referred.setdefault(table, {})[key] = changes

    def _tell_of(self, instance: object, columns: Iterable[Any] | None, changed: set[str] | None = None) -> None:
        """Add a row of a table without computations, if the events of all rows are wanted."""
        state = instance_state(instance)
        source = self.events.source_to_tell(state.mapper)
        if source is not None:
            self._touch(source, identity_of(state), Lock.UPDATE if columns is None else Lock.NO_KEY_UPDATE, columns)
            self._classes[source, identity_of(state)] = self.events.class_of(state)
            if changed is not None:
                self.foretold.update(source, state, changed)
            self._renamed.append((instance, state.mapper, source))

    def _touch(self, source: Source, key: Key, lock: Lock, columns: Iterable[Any] | None) -> None:
        self._touched.setdefault(source, Touched()).add(key, lock, columns)
        if source.host is not None and columns is not None:
            self._hosts.setdefault(source, {})[key] = None

    # -- during ------------------------------------------------------------------------------------------------

    def unseen(self, source: Source, keys: Iterable[Key], columns: set[Any] | None) -> list[Key]:
        """Return the rows that are not locked and read yet, or not for changes of all ``columns``."""
        return [key for key in keys if not self._covers(source, key, columns)]

    def _covers(self, source: Source, key: Key, columns: set[Any] | None) -> bool:
        seen = self._seen.get((source, key), _UNSEEN)
        if seen is None or seen is _UNSEEN:
            return seen is None
        return columns is not None and columns & source.inputs <= seen

    def started(self, column: Column[Any]) -> list[Any]:
        """Return the initial states that state machines have assigned to ``column`` of new rows."""
        return [*self._started.get(column, ()), *self.switches.started.get(column, ())]

    def hears(self, source: Source) -> bool:
        """Whether the events of rows of ``source`` are wanted."""
        mutations = self.propagation.mutations
        return source.mapper is not None and mutations is not None and mutations.wanted(source.mapper)

    def late(self, source: Source, keys: Iterable[Key], columns: set[Any] | None, lock: Lock) -> None:
        """Lock and read written rows that were not known before the flush, or not with these columns."""
        if unseen := self.unseen(source, keys, columns):
            self._bracket.open(Write({source: Touched(dict.fromkeys(unseen, lock), columns)}))
            for key in unseen:
                seen = self._seen.get((source, key), set())
                self._seen[source, key] = None if columns is None or seen is None else seen | columns
            self._note_late(source, unseen, columns)

    def delete_late(self, source: Source, keys: Sequence[Key]) -> None:
        """Lock and read deleted rows that were not known before the flush, and the rows deleted with them."""
        touched: dict[Source, Touched] = {}
        if source.table in self.plan.sources:
            touched[source] = Touched(dict.fromkeys(keys, Lock.UPDATE), None)
        self.written.find_dependents({source.table: dict.fromkeys(keys)}, touched)
        for below, rows in touched.items():
            self.late(below, rows.keys, rows.columns, Lock.UPDATE)
        self._see_deleted(source.table, keys)

    def _see_deleted(self, table: Table, keys: Iterable[Key]) -> None:
        for part in self.plan.tables_of_row(table):
            source = self.written.source(part)
            self._seen.update({(source, key): None for key in keys})

    def _note_late(self, source: Source, keys: Iterable[Key], columns: set[Any] | None) -> None:
        rows = self._late.setdefault(source, {})
        for key in keys:
            before = rows.get(key, frozenset())
            rows[key] = None if columns is None or before is None else before | columns

    def written_by_statement(self, source: Source, keys: Iterable[Key], columns: set[Any] | None, lock: Lock) -> None:
        """Lock and read rows that a statement of the application writes during the flush.

        :param columns: the columns that it changes; ``None`` if it deletes the rows.
        """
        mine = self._new_keys(source)
        written = list(keys)
        self.late(source, [key for key in written if key not in mine], columns, lock)
        self._note_late(source, written, columns)

    def inserted_by_statement(self, source: Source, keys: Iterable[Key]) -> None:
        """Record rows that a statement of the application is about to insert during the flush.

        Some keys may exist already, so that the statement will fail, or belong to rows that the flush has deleted.
        """
        fresh = dict.fromkeys(keys)
        again = [key for key in fresh if self._seen.get((source, key), _UNSEEN) is None]
        if again:
            self._replaced.setdefault(source, {}).update(dict.fromkeys(again))
        mine = self._new_keys(source)
        unknown = [key for key in fresh if key not in mine and key not in again]
        if unknown and not source.may_repeat:
            propagation = self.propagation
            statement = propagation.db.statements.read_rows(source, source.key)
            packed = propagation.db.dialect.pack("ids", source.key_shape, unknown)
            found = [tuple(row[: len(source.key)]) for row in propagation.db.execute(source, statement, packed)]
            self.late(source, found, None, Lock.UPDATE)
        self._inserted.setdefault(source, {}).update(fresh)

    def _new_keys(self, source: Source) -> set[Key]:
        """Return the keys of the rows that the flush has inserted so far, which have not contributed yet."""
        keys = {tuple(w.mapper.primary_key_from_instance(i)) for i, w in self._new if w.source is source}
        return keys | self._inserted.get(source, {}).keys()

    def replaces(self, source: Source, keys: Iterable[Key]) -> None:
        """Record rows that the database replaces; a new row with the same key starts without members."""
        self.late(source, keys, None, Lock.UPDATE)
        self._replaced.setdefault(source, {}).update(dict.fromkeys(keys))

    def insert_links(self, source: Source, columns: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Record rows that the unit of work is about to write into a secondary table."""
        self._links.append((source, list(columns), [dict(row) for row in rows]))

    def _apply_links(self) -> None:
        for source, columns, rows in self._links:
            keys = find_links(
                self.propagation.db, source, columns, [tuple(row.get(c.key) for c in columns) for row in rows]
            )
            for key, row in zip(keys, rows, strict=False):
                hosts = {edge: tuple(row.get(str(getattr(c, "key", c))) for c in edge.key) for edge in source.edges}
                self.propagation.contributes(source, key, hosts, fresh=True)
            self._complete(source, keys)  # the class of an association object may have values and events

    # -- after -------------------------------------------------------------------------------------------------

    def after(self, running: RunningFlush[Flush]) -> None:
        """Apply the deltas of the flush and publish its events."""
        propagation = self.propagation
        self._is_sure = not running.runs_code(self._any_connection())
        if not self._is_sure:
            propagation.locked_ahead = set()
            refuse_unwritten_keys(propagation.db, self._new, filter(_has_other_key, self._changed), self._late)
        placed = [i for i, watch in (*self._new, *self._changed) if watch.computed]
        propagation.db.memory = Memory(self.session, self.plan, placed)
        without_foreign_key: dict[Source, dict[Key, Mapping[Any, Any]]] = {}
        for instance, watch in self._new:
            if watch.source is None:
                continue
            values = instance_dict(instance)
            for name in watch.floats:
                if type(values.get(name)) is int:
                    set_committed_value(instance, name, float(values[name]))
            key = tuple(watch.mapper.primary_key_from_instance(instance))
            if watch.edge_keys:
                hosts = watch.host_keys(values, None) if self._is_sure else {}
                propagation.contributes(watch.source, key, hosts, fresh=True)
            if propagation.has_loose_members(watch.source):
                row = {c: values.get(watch.mapper.get_property_by_column(c).key) for c in watch.mapper.columns}
                without_foreign_key.setdefault(watch.source, {})[key] = row
        for instance, watch in self._changed:
            self._changed_row(instance, watch)
        for source, rows in without_foreign_key.items():
            propagation.new_hosts(source, rows)
        self._apply_links()
        self._bracket.scopes.require_unchanged()
        self.numbers.after_flush()
        self.same_row.after_flush([] if self._is_sure else [*self._new, *self._changed])
        self.switches.after_flush()
        self._follow_late()
        self._follow_inserted()
        for instance, mapper, source in self._renamed:
            self._note_key(instance, mapper, source)
        self.written.follow()
        # only if no statement was executed whose result is known to the database alone
        if self._is_sure and not (self._late or self._inserted or self._replaced):
            self.foretold.tell(running.context)
        self.events.after(running.context, trusts_memory=self._is_sure)
        for source, keys in self._replaced.items():
            propagation.count_again(source, keys)
        for instance, watch, source in self._rekeyed:
            propagation.count_again(source, [tuple(watch.mapper.primary_key_from_instance(instance))])
        run_agenda(propagation)

    def _any_connection(self) -> Connection | None:
        for _, watch in (*self._new, *self._changed):
            if watch.source is not None:
                return self.propagation.db.connection(watch.source)
        return None

    def _changed_row(self, instance: Any, watch: Watch) -> None:
        state = inspect(instance)
        if watch.source is None or state.key is None:
            return
        hosts = watch.host_keys(state.dict, state.committed_state) if self._is_sure else _nowhere_known(watch)
        self.propagation.contributes(watch.source, identity_of(state), hosts, fresh=False)
        self._note_key(instance, watch.mapper, watch.source)

    def _note_key(self, instance: Any, mapper: Mapper[Any], source: Source) -> None:
        old, new = identity_of(instance_state(instance)), tuple(mapper.primary_key_from_instance(instance))
        if new != old and None not in new:
            self.written.renamed(source, old, new)

    def _follow_late(self) -> None:
        for source, rows in self._late.items():
            for columns in {columns for columns in rows.values() if columns is not None}:
                keys = [key for key, changed in rows.items() if changed == columns]
                self.propagation.moved(source, keys, columns)
                if source.same_row:
                    refresh_same_row(self.propagation.db, source, keys)

    def _follow_inserted(self) -> None:
        for source, keys in self._inserted.items():
            for edge in source.edges:
                self.propagation.new_rows(edge, keys, None)
            self._complete(source, list(keys))

    def _complete(self, source: Source, keys: Sequence[Key]) -> None:
        """Compute the values of rows that were inserted without objects, and tell of these rows."""
        start_machines(self.propagation, source, keys)
        if source.same_row:
            refresh_same_row(self.propagation.db, source, keys)
        mutations = self.propagation.mutations
        if source.mapper is not None and mutations is not None and self.hears(source):
            fresh = [key for key in keys if not self.written.is_remembered(source, key)]
            for mapper, rows in read_by_class(self.propagation.db, source, source.mapper, fresh).items():
                mutations.created(mapper, rows.values())


def _has_other_key(changed: tuple[Any, Watch]) -> bool:
    instance, watch = changed
    state = instance_state(instance)
    return state.key is not None and tuple(watch.mapper.primary_key_from_instance(instance)) != identity_of(state)


def _nowhere_known(watch: Watch) -> dict[Edge, Key | None]:
    return {edge: None for edge, _ in watch.edge_keys}


_UNSEEN: set[Any] = set()
