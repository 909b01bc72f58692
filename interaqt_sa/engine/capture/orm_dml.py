"""Run INSERT, UPDATE and DELETE statements of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from types import NoneType
from typing import Any

from sqlalchemy import ClauseElement, Column, ColumnElement, Result, Select, Table, func, insert, select, tuple_
from sqlalchemy.orm import Mapper

from ...dialects import Lock
from ...dialects.execution_options import STATEMENT_OPTION
from ...errors import UnmanagedWriteError
from ...schema.class_criterion import class_criterion
from ...session.all_or_nothing import WriteUnit
from ...session.cursor_execution import shared_options
from ..computations.agenda import run_agenda
from ..computations.engine_row_writes import start_machines
from ..computations.event_delivery import start_propagation
from ..database.host_key_locks import lock_rekeyed
from ..database.loaded_objects import Memory
from ..database.pending_deltas import Touched
from ..database.polymorphic_rows import read_attributes, read_by_class
from ..locking.lock_graph import has_hosts_below
from ..locking.lock_pass import LockPass
from ..plan import Key, Source
from ..plan.column_replacement import labelled
from ..propagation.event_only_tables import told_class
from ..propagation.statement_inserts import count_inserted, returned_columns
from ..propagation.write_bracket import Changed, NamedRows, Write, WriteBracket
from ..sql.statement_cache import Statements
from ..sql.unevaluated_where import Restriction
from .computed_writes import GivenComputedValues
from .conflict_targets import ConflictTarget, Values
from .core_statement_guard import MANAGED_OPTION
from .dml_results import ask_back, buffered, split_defaults, split_result
from .dml_statement import DMLStatement, known_value, options_of
from .referenced_row_locks import Given
from .replaced_rows import find_displaced, find_replaced, may_replace, replacing_targets
from .returned_values import ReturnedValues
from .savepoint_needs import may_fail_late

_MANAGED = {MANAGED_OPTION: True}


class Bulk:
    """One DML statement of a session."""

    def __init__(
        self, dml: DMLStatement, statements: Statements, computed: GivenComputedValues, unit: WriteUnit
    ) -> None:
        self.dml = dml
        self._computed = computed
        self.unit = unit
        self.execution = dml.execution
        self.statement: Any = dml.statement
        self.statements = statements
        self.plan = statements.plan
        self.table = dml.table
        session = dml.execution.session
        told = told_class(session, self.plan, self.table)
        unwatched: Any = (self.table, None) if told is None else (told.local_table, told)
        self.source: Source = self.plan.sources.get(self.table) or statements.unwatched(*unwatched)
        options = shared_options(options_of(self.execution))
        self.propagation = start_propagation(session, statements, Memory(session, statements.plan), options)
        self._reading = {**options, **_MANAGED}
        self.mapper: Mapper[Any] | None = dml.mapper or self.source.mapper
        self.propagation.db.connection(self.source)  # raises before any write if values cannot be maintained
        self.given = Given(self.dml, self.propagation, self.source, self.mapper)
        self._bracket = WriteBracket(self.propagation)
        #: how many rows it has inserted
        self.inserted = 0

    @property
    def key(self) -> Sequence[Column[Any]]:
        """The columns that identify rows of the table."""
        return self.source.key_in(self.table)

    def key_is_in(self, keys: Sequence[Key]) -> ColumnElement[bool]:
        """Return the criterion that the key of a row of the statement's table is one of ``keys``."""
        shape = tuple((f"p{i}", c.type) for i, c in enumerate(self.key))
        dialect = self.propagation.db.dialect
        return dialect.contains(self.dml.expressions(self.key), "locked", shape, dialect.pack("locked", shape, keys))

    # -- INSERT ------------------------------------------------------------------------------------------------

    def insert(self) -> Result[Any]:
        """Run an INSERT, and add the contributions of the new rows."""
        mapper = self.dml.mapper
        gone = self._make_room_for_new()
        self.given.locks({}, self.given.inserted()).run()
        columns = returned_columns(self.propagation, self.source, self.tables)
        self.protect(None)
        # the ORM would add only the overhead of each row
        plain = insert(self.table) if mapper is not None and self._is_plain(mapper) else self.statement
        statement = ask_back(plain, self._asked(columns), is_many=self.dml.rows_by_attribute)
        result = self._invoke(statement, is_core=plain is not self.statement)
        if statement._return_defaults:
            named = [str(name) for name in (self.dml.rows or [self.dml.parameters])[0]]
            answer, returned = split_defaults(result, self.statement, columns, named)
        else:
            answer, returned = split_result(result, self.statement, columns)
        answer.has_cursor = not self.dml.rows_by_attribute
        self.count_new(columns, returned, replaced=gone)
        self.moved(gone, set())
        self.run()
        return ReturnedValues(self).inserted(answer, columns, returned)

    def run(self) -> None:
        """Apply the pending deltas and all that depends on them."""
        run_agenda(self.propagation)

    @property
    def tables(self) -> Sequence[Table]:
        """The tables that an INSERT writes: several for a class with joined inheritance."""
        mapper = self.dml.mapper
        if mapper is None or not self.dml.rows_by_attribute:
            return (self.table,)
        return [self.table, *(t for t in mapper.tables if isinstance(t, Table) and t is not self.table)]

    def _asked(self, columns: Sequence[Column[Any]]) -> Sequence[Any]:
        """Return ``columns`` in the form for RETURNING: attributes if the ORM writes several tables."""
        mapper = self.dml.mapper
        if mapper is None or len(self.tables) == 1:
            return self.dml.returned(columns)
        return [mapper.get_property_by_column(column).class_attribute for column in columns]

    def _is_plain(self, mapper: Mapper[Any]) -> bool:
        """Whether it is a bare ``insert(Class)`` whose rows are unmodified columns of one table."""
        rows = self.dml.rows
        if not rows or not vars(self.statement).keys() <= _BARE:
            return False
        if len(mapper.tables) > 1 or mapper.polymorphic_on is not None or mapper.version_id_col is not None:
            return False
        names = rows[0].keys()
        columns = {name: mapper.columns.get(name) for name in names}
        if not all(column is not None and column is self.table.c.get(name) for name, column in columns.items()):
            return False
        # the ORM groups rows by their attributes, and omits None
        if not all(row.keys() == names for row in rows):
            return False
        return not any(NoneType in set(map(type, map(itemgetter(name), rows))) for name in names)

    def count_new(
        self, columns: Sequence[Column[Any]], returned: Sequence[tuple[Any, ...]], replaced: Sequence[Key] = ()
    ) -> None:
        """Add the contributions of new rows, and publish the rows.

        :param replaced: keys of replaced rows; a new row with such a key is published as an update.
        """
        keys = count_inserted(self.propagation, self.source, self.tables, columns, returned)
        self.inserted += len(keys)
        start_machines(self.propagation, self.source, keys)
        mapper, mutations = self._heard(), self.propagation.mutations
        if replaced:
            gone = set(replaced)
            # the new row is recounted: the members of the old one may have been deleted with it, or not
            self.propagation.count_again(self.source, [key for key in keys if key in gone])
            keys = [key for key in keys if key not in gone]
        if mapper is not None and keys and mutations is not None:
            for own, rows in self._read_by_class(mapper, keys).items():
                mutations.created(own, rows.values())

    # -- rows that SQLite replaces -----------------------------------------------------------------------------

    def make_room(self, rows: Iterable[Values], besides: Iterable[Key] = ()) -> list[Key]:
        """Read the rows that new ones will replace; return their keys.

        :param besides: keys of rows that are not replaced.
        """
        targets = self._replacing()
        found = find_replaced(self.propagation, self.source, targets, list(rows)) if targets else []
        return self._read_gone(found, besides)

    def _replacing(self) -> Sequence[ConflictTarget]:
        if self.propagation.db.dialect.has_row_locks or not may_replace(self.statement, self.table, self.plan):
            return ()
        return replacing_targets(self.statement, self.table, self.plan)

    def _make_room_for_new(self) -> list[Key]:
        if not self._replacing():
            return []
        if self.statement.select is not None:
            raise UnmanagedWriteError(
                f"INSERT … SELECT into {self.table.name!r} may replace rows that are not known in advance; select "
                "the rows to insert first and pass them as parameters",
                table=self.table.fullname,
            )
        return self.make_room(self.dml.given_rows())

    def _make_room_for_changed(self, keys: Sequence[Key]) -> list[Key]:
        targets = [t for t in self._replacing() if not self.dml.written.isdisjoint(t.columns)]
        if not targets:
            return []
        fixed, given = self.dml.values(), self.dml.rows or [self.dml.parameters]
        rows = [{**fixed, **self.dml.by_column(row, in_rows=True)} for row in given]
        told = [{c: known_value(v) for c, v in row.items()} for row in rows]
        displaced = find_displaced(self.propagation, self.source, targets, told)
        if len(keys) > 1:  # of several rows with the same new values only the last one remains
            self._open(self._with_dependents(keys), keys)
        return self._read_gone(displaced, keys)

    def _read_gone(self, found: Iterable[Key], besides: Iterable[Key]) -> list[Key]:
        stay = set(besides)
        gone = [key for key in found if key not in stay]
        if gone:
            self._open(self._with_dependents(gone), gone)
        return gone

    # -- UPDATE ------------------------------------------------------------------------------------------------

    def update(self) -> Result[Any]:
        """Lock the matching rows, update only these, and apply the difference."""
        columns = set(self.dml.written)
        changed = columns | self.source.following()
        if self.dml.rows_by_attribute and not self.statement._where_criteria:
            return self._update_by_key(changed)
        if not columns.isdisjoint(self.key):
            if self.source.mapper is not None or len(self.dml.rows) > 1 or self.plan.children.get(self.table):
                _refuse_keys(self.table, self.key, columns)
            return self._update_links(changed)
        lock = self.source.lock_to_change(columns)
        if self._is_unread(columns, changed):
            self._lock_in_order(lock, changed)
            return self._invoke(self.statement, leads_on=False)
        keys = self._matching(lock, changed)
        gone = self._make_room_for_changed(keys) if keys else []
        self.before(
            keys, changed, lock, self.given.updated(keys, lambda: [*self.criteria(), self.key_is_in(keys)], self.read)
        )
        self._computed.require_unchanged(self.propagation, self.source, keys)
        if keys:
            self.protect(changed)
        returned = ReturnedValues(self)
        result = returned.take(self._run_restricted(keys, returned.key))
        self.moved([*keys, *gone], changed)
        self.rekeyed(keys, columns)
        self.run()
        return returned.fresh(result)

    def _is_unread(self, columns: set[Column[Any]], changed: set[Column[Any]]) -> bool:
        """Whether no computed value or wanted event depends on an UPDATE of ``columns``, so that no keys are needed."""
        source, plan = self.source, self.plan
        read = {*source.inputs, *source.shared_inputs, *source.referable, *plan.columns}
        read |= plan.found_by(source) | plan.followed([self.table])
        return not (
            changed & read
            or source.same_row
            or self._heard() is not None
            or self.dml.rows
            or any(column.foreign_keys for column in columns)
            or self._replacing()
            or has_hosts_below(source, Touched({}, changed))
        )

    def _lock_in_order(self, lock: Lock, columns: set[Column[Any]]) -> None:
        """Lock the matching rows in the order of their keys, without fetching the keys."""
        if self.propagation.db.dialect.has_row_locks:
            locking = self._select_matching(lock, columns).subquery()
            for _ in self.read(select(func.count()).select_from(locking), self.dml.parameters):
                pass

    def _update_links(self, changed: set[Column[Any]]) -> Result[Any]:
        """Update rows of a secondary table, whose columns are their key: handled as deleted and new rows."""
        keys = self._matching(Lock.UPDATE, changed)
        gone = self._make_room_for_changed(keys) if keys else []
        self.before(
            keys,
            changed,
            Lock.UPDATE,
            self.given.updated(keys, lambda: [*self.criteria(), self.key_is_in(keys)], self.read),
        )
        self.protect(changed)
        restricted = self.statement.where(Restriction(self.key_is_in(keys)))
        result = self._invoke(restricted.returning(*self.dml.returned(self.key)))
        answer, rows = split_result(result, self.statement, self.key)
        for edge in self.source.edges:
            self.propagation.new_rows(edge, rows, None)
        self.moved([*keys, *gone], changed)
        self.run()
        return answer

    def _update_by_key(self, changed: set[Column[Any]]) -> Result[Any]:
        names = [str(self.dml.name_in_rows(c)) for c in self.key]
        try:
            keys = [tuple(row[name] for name in names) for row in self.dml.rows]
        except KeyError as error:
            raise UnmanagedWriteError(
                f"update({self.table.name}) with a list of rows needs the primary key {error} in every row",
                table=self.table.name,
            ) from error
        own = {c for table in self.plan.tables_of_row(self.source.table) for c in self.source.key_in(table)}
        columns, changed = set(self.dml.written) - own, changed - own
        self.before(keys, changed, self.source.lock_to_change(columns), self.given.updated_by_key())
        self._computed.require_unchanged(self.propagation, self.source, keys)
        self.protect(changed)
        result = self._invoke(self.statement)
        self.moved(keys, changed)
        self.rekeyed(keys, columns)
        self.run()
        return result

    def rekeyed(self, keys: Sequence[Key], columns: set[Column[Any]]) -> None:
        if keys and columns & self.plan.found_by(self.source):
            self.propagation.count_again(self.source, keys)

    def before(
        self, keys: Sequence[Key], changed: set[Column[Any]], lock: Lock, rows: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Lock rows that will be updated, and read their contributions.

        :param rows: new rows and new values that are written with them; see :class:`.Given`.
        """
        if keys and changed & self.plan.found_by(self.source):
            lock_rekeyed(self.propagation.db, self.source)
        touched = {self.source: Touched(dict.fromkeys(keys, lock), changed)} if keys else {}
        followed = frozenset(changed & self.plan.followed([self.table])) - set(self.key)
        if keys and followed:
            self._bracket.written.find_dependents({self.source.table: dict.fromkeys(keys, followed)}, touched)
        self._open(touched, locks=self.given.locks(touched, rows))
        if self._bracket.scopes and self.statement.is_update and not self.dml.rows:
            given = self.dml.given_rows()[0]
            self._bracket.scopes.refuse_for_all({c: v for c, v in given.items() if not isinstance(v, ClauseElement)})

    def moved(self, keys: Sequence[Key], columns: set[Column[Any]] | None = None) -> None:
        """Record that rows were updated; ``columns`` are the changed columns, if they are known."""
        self._bracket.close(Changed(self.source, keys, columns))
        self._bracket = WriteBracket(self.propagation)

    # -- mutation events ---------------------------------------------------------------------------------------

    def _heard(self) -> Mapper[Any] | None:
        """Return the mapper whose events are wanted, if any."""
        mapper = self.mapper
        mutations = self.propagation.mutations
        return mapper if mapper is not None and mutations is not None and mutations.wanted(mapper) else None

    def _read(self, mapper: Mapper[Any], keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
        return read_attributes(self.propagation.db, self.source, mapper, keys)

    def _read_by_class(self, mapper: Mapper[Any], keys: Iterable[Key]) -> dict[Mapper[Any], dict[Key, dict[str, Any]]]:
        return read_by_class(self.propagation.db, self.source, mapper, keys)

    def _found_as(self) -> Mapper[Any] | None:
        """Return the class under which rows are published: keys also match rows of other classes of the table."""
        mapper = self.mapper
        criteria: Any = getattr(self.statement, "_where_criteria", None)
        if mapper is None or criteria or self.statement.is_delete:
            return mapper
        base = mapper.base_mapper
        return base if base.local_table is self.source.table and self.plan.is_narrowed(base) else mapper

    def _open(self, touched: Mapping[Source, Touched], keys: Sequence[Key] = (), locks: LockPass | None = None) -> None:
        """Lock rows, and read their contributions and old images."""
        own = touched[self.source].keys if self.source in touched else keys
        mapper = self._found_as()
        named = NamedRows(self.source, mapper, own) if mapper is not None and own else None
        self._bracket.open(Write(touched, locks, named=named))

    # -- DELETE ------------------------------------------------------------------------------------------------

    def delete(self) -> Result[Any]:
        """Lock the matching rows and their dependents, delete only these, and apply the difference."""
        keys = self._matching(Lock.UPDATE, None)
        if keys:
            self._open(self._with_dependents(keys), keys)
            self.protect(None)
        result = self._run_restricted(keys)
        self.moved(keys, set())  # deleted rows contribute to no host
        self.run()
        return result

    def _with_dependents(self, keys: Sequence[Key]) -> dict[Source, Touched]:
        """Return the deleted rows, and those that the database changes with them."""
        touched: dict[Source, Touched] = {}
        if self.table in self.plan.sources:
            touched[self.source] = Touched(dict.fromkeys(keys, Lock.UPDATE), None)
        if self.table is self.source.table:
            self._bracket.written.find_dependents({self.table: dict.fromkeys(keys)}, touched)
        return touched

    # -- matching rows -----------------------------------------------------------------------------------------

    def _matching(self, lock: Lock, columns: set[Column[Any]] | None) -> list[Key]:
        """Return the keys of the rows that match the statement's WHERE, each once even if it is joined several times.

        The rows are locked, unless other rows must be locked first.

        :param columns: the changed columns; ``None`` if the rows are deleted.
        """
        statement = self._select_matching(lock, columns)
        found: dict[Key, None] = {}
        for parameters in self.dml.rows or [self.dml.parameters]:
            found |= dict.fromkeys(tuple(row) for row in self.read(statement, parameters))
        return list(found)

    def _select_matching(self, lock: Lock, columns: set[Column[Any]] | None) -> Select[Any]:
        dml, target = self.dml, self.dml.target
        key = dml.expressions(self.key)
        criteria = self.criteria()
        statement: Select[Any] = select(*labelled(key)).order_by(*key)
        matching = select(*key).where(*criteria)
        if {*matching.get_final_froms()} != {target}:
            # a locking read must not join: after a wait it would use stale rows of the other tables
            statement = statement.where(_in(key, matching.correlate(None)))
        else:
            statement = statement.where(*criteria)
        # with several parameter sets, or hosts below, the rows are locked later, in order
        others_first = has_hosts_below(self.source, Touched({}, columns)) or self.given.refers_below(columns or set())
        if len(dml.rows) < 2 and not others_first:
            statement = self.propagation.db.dialect.lock(statement, lock, target)
        return statement

    def criteria(self) -> list[Any]:
        """Return the WHERE criteria, with those that the ORM adds for single-table inheritance."""
        return [*self.statement._where_criteria, *self._inheritance()]

    def read(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Iterable[Any]:
        """Run a SELECT built from parts of the statement, with parameters of the statement."""
        return self.propagation.db.connection(self.source).execute(
            statement, parameters, execution_options=self._reading
        )

    def _inheritance(self) -> Sequence[ColumnElement[bool]]:
        mapper = self.dml.mapper
        criterion = None if mapper is None else class_criterion(mapper)
        return () if criterion is None else (self.dml.adapted(criterion),)

    def _run_restricted(self, keys: Sequence[Key], besides: Sequence[Column[Any]] = ()) -> Result[Any]:
        """Run the statement for the locked rows only, because other rows may match by now."""
        restricted = self.statement.where(Restriction(self.key_is_in(keys)))
        return self._invoke(restricted.returning(*self.dml.returned(besides)) if besides else restricted)

    def protect(self, columns: set[Column[Any]] | None) -> None:
        """Begin a savepoint if an error is possible after the statement has run; see :func:`.may_fail_late`."""
        if self.execution.session._flushing:
            return  # an error rolls the whole flush back
        in_parts = self._runs_in_parts and not self.propagation.db.dialect.has_row_locks
        if in_parts or may_fail_late(self.propagation, self.source, self.table, columns):
            self.unit.protect(self.propagation.db.connection(self.source))

    @property
    def _runs_in_parts(self) -> bool:
        """Whether earlier rows may remain written when a row fails."""
        # OR FAIL, a prefix or a declaration, keeps the rows before the failed one
        if len(self.dml.rows) > 1 or len(self.tables) > 1 or self.statement._prefixes:
            return True
        dialect = self.propagation.db.dialect
        return not dialect.has_row_locks and (self.table in self.plan.failing or self._has_triggers())

    def _has_triggers(self) -> bool:
        connection, dialect = self.propagation.db.connection(self.source), self.propagation.db.dialect
        return self.statements.cached(
            ("has triggers", self.table), lambda: dialect.has_triggers(connection, self.table)
        )

    def _invoke(self, statement: Any, *, leads_on: bool = True, is_core: bool = False) -> Result[Any]:
        """Run the statement.

        :param leads_on: whether computed values depend on it; otherwise it fails as it would without a system.
        :param is_core: whether a statement of the ORM was replaced by one of Core.
        """
        execution, rows = self.execution, self.dml.rows or [self.dml.parameters]
        options = {**_MANAGED, STATEMENT_OPTION: (statement, rows), "autoflush": False}
        # the session has flushed already, if autoflush is on
        with self.unit.writing(in_parts=leads_on and self._runs_in_parts), execution.session.no_autoflush:
            if is_core:  # a session flushes before all statements of Core, whatever the option says
                connection = self.propagation.db.connection(self.source)
                return connection.execute(statement, rows, execution_options={**options_of(execution), **options})
            result = execution.invoke_statement(statement=statement, execution_options=options)
        # a savepoint cannot be released while rows are still to be fetched
        is_open = self.statement._returning and not self.statement.is_insert
        return buffered(result, statement) if is_open and self.unit.is_protected else result


#: the attributes of an INSERT into a mapped class on which no method was called, after annotation by the session
_BARE = frozenset({"table", "_propagate_attrs", "_annotations", "_hash", "_Annotated__element"})


def _in(key: Sequence[Any], statement: Select[Any]) -> Any:
    return key[0].in_(statement) if len(key) == 1 else tuple_(*key).in_(statement)


def _refuse_keys(table: Table, key: Sequence[Column[Any]], columns: set[Column[Any]]) -> None:
    keys = columns & set(key)
    if keys:
        names = ", ".join(sorted(c.name for c in keys))
        raise UnmanagedWriteError(
            f"a bulk update of {table.name}.{names} would change primary keys, so that rows could not be identified "
            "afterwards; change keys object by object, in the unit of work",
            table=table.name,
        )
