"""Event listeners of sessions: attach, detach, and dispatch of each event to the code that handles it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakSet, ref

from sqlalchemy import Connection, Engine, MetaData, Table, TableClause, event
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, SessionTransaction
from sqlalchemy.orm.attributes import instance_dict

from ...dialects import dialect_for
from ...dialects.execution_options import ENGINE_OPTIONS, STATEMENT_OPTION
from ...dialects.root_engine import root_engine
from ...errors import FrameworkError, UnfollowedWriteWarning, UnmanagedWriteError
from ...schema.metadata_state import Catalog
from ...session.state import SessionState, TransactionState
from ...session.write_listeners import WriteListeners, tell_listeners
from ..database.session_connection import bind_of
from ..plan import Plan, plan_if_ready, plan_of, watch_of
from ..propagation.event_only_tables import told_class
from ..propagation.explicit_ids import note_given_ids
from ..sql.statement_cache import Statements
from .attached_sessions import Attachments, binds_of, session_class
from .caller import Caller
from .classes_of_other_bases import refuse_stray
from .core_statement_guard import (
    MANAGED_OPTION,
    UnmanagedDML,
    inner_writes,
    is_text,
    is_watched,
    watch_statement,
    written_table,
)
from .dml_routing import run_dml
from .dml_statement import DMLStatement, dml_of, options_of
from .engine_events import EngineEvents
from .flush import Flush
from .insert_engine_row import add_row
from .listener_order import go_last, is_last, run_first
from .orphans import find_orphans
from .partial_flush import FlushedObjects
from .rows_under_other_names import refuse_other_names
from .running_flush import RunningFlush
from .sessions_detached_in_savepoint import leave_savepoint
from .sql_text import may_write
from .statements_in_flush import refuse_rows_in_flush
from .statements_replaced_by_listeners import replaced_write
from .table_identity import TableNames, find_table
from .textual_writes import textual_write, textual_writes
from .unattached_writes import Unattached, UnattachedWrites

_MODES = ("raise", "warn", "allow")


class SessionListeners:
    """Listens to the attached sessions and their engines, and turns their events into writes.

    :param metadata: the MetaData with the declarations.
    :param unmanaged_dml: the handling of writes that bypass the session.
    :param all_serializable: whether all writers are SERIALIZABLE.
    :param unattached: the handling of writes by sessions and connections that are not attached.
    :param session_listeners: events and listeners of other packages for the same sessions.
    """

    def __init__(
        self,
        metadata: MetaData,
        unmanaged_dml: UnmanagedDML = "raise",
        *,
        all_serializable: bool = False,
        unattached: Unattached = "warn",
        session_listeners: Sequence[tuple[str, Any]] = (),
    ) -> None:
        for name, mode in (("unmanaged_dml", unmanaged_dml), ("unattached", unattached)):
            if mode not in _MODES:
                raise FrameworkError(f"{name}={mode!r}: give one of {', '.join(map(repr, _MODES))}")
        self._all_serializable = all_serializable
        self.metadata = metadata
        self._unmanaged_dml = unmanaged_dml
        self._unattached = UnattachedWrites(metadata, unattached)
        self._other_listeners = session_listeners
        self.write_listeners = WriteListeners()
        self._statements: dict[str, Statements] = {}
        self._sessions: WeakKeyDictionary[Connection, list[ref[Session]]] = WeakKeyDictionary()
        # with the session classes through which each became known
        self._engines: WeakKeyDictionary[Engine, WeakSet[type[Session]]] = WeakKeyDictionary()
        self._listening: WeakSet[type[Session]] = WeakSet()
        self._seen: WeakSet[type[object]] = WeakSet()
        self._catalog = Catalog.of(metadata)
        # instead of event.contains(), which compares by id(), possibly that of a deleted factory
        self._attachments = Attachments.of(metadata)

    @property
    def plan(self) -> Plan:
        """The compiled declarations.

        :raises DefinitionError: with every fault of the declarations.
        """
        found = self._catalog.plan
        if type(found) is Plan and found.generation == self._catalog.generation:
            return found
        return plan_of(self.metadata)

    @property
    def engines(self) -> list[Engine]:
        """The engines used by attached sessions so far."""
        return list(self._engines)

    def statements(self, dialect: Any) -> Statements:
        """Return the cached statements for a SQLAlchemy dialect."""
        plan = self.plan
        found = self._statements.get(dialect.name)
        if found is None or found.plan is not plan:
            found = self._statements[dialect.name] = Statements(
                plan, dialect_for(dialect), all_serializable=self._all_serializable
            )
            self._unattached.tell_of_early(plan)
        return found

    def statements_for(self, session: Session) -> Statements:
        """Return the cached statements for the database with the computed values of ``session``."""
        return self.statements(bind_of(session, self.plan).dialect)

    def add_row(self, session: Session, mapper: Mapper[Any], values: Mapping[str, Any]) -> None:
        """Insert a row, and update the computed values that depend on it; see :func:`.add_row`."""
        self.write_listeners.follow(SessionState.of(session))
        add_row(session, self.statements(session.get_bind(mapper=mapper).dialect), mapper, values)

    # -- attaching ---------------------------------------------------------------------------------------------

    def _session_listeners(self) -> list[tuple[str, Any]]:
        return [
            ("after_begin", self._after_begin),
            ("before_flush", self._before_flush),
            ("after_flush", self._after_flush),
            ("after_flush_postexec", self._after_flush_postexec),
            ("do_orm_execute", self._do_orm_execute),
            ("after_soft_rollback", self._after_soft_rollback),
            ("after_transaction_end", self._after_transaction_end),
            ("pending_to_transient", self._to_transient),
            ("persistent_to_transient", self._to_transient),
            *self._other_listeners,
        ]

    def attach(self, target: Any) -> None:
        """Listen on a sessionmaker, scoped_session or Session class; idempotent.

        :raises FrameworkError: if another system of the same MetaData is attached to it.
        """
        sessions = session_class(target)
        self._attachments.claim(sessions, self)
        self._listen()
        for bind in binds_of(target):
            self._watch_engine(bind.engine, sessions)

    def detach(self, target: Any) -> None:
        """Stop listening on ``target``, and on the engines that became known only through it."""
        self._attachments.release(session_class(target), self)
        self._listen()
        for connection, held in list(self._sessions.items()):
            left = [h for h in held if (s := h()) is not None and self._attachments.is_kept_by(type(s), self)]
            for session in (s for h in held if h not in left and (s := h()) is not None):
                leave_savepoint(session, self._catalog.plan)
            if left:
                self._sessions[connection] = left
            else:
                del self._sessions[connection]
        for engine, known_by in list(self._engines.items()):
            if not any(self._attachments.is_kept_by(sessions, self) for sessions in known_by):
                del self._engines[engine]
                EngineEvents.remove(engine, self)

    def _listen(self) -> None:
        """Listen on the outermost attached classes only: a class receives the events of its subclasses."""
        wanted = set(self._attachments.outermost(self))
        for sessions in set(self._listening) - wanted:
            self._listening.discard(sessions)
            for name, listener in self._session_listeners():
                if event.contains(sessions, name, listener):  # all listeners of a class may have been removed
                    event.remove(sessions, name, listener)
        for sessions in wanted - set(self._listening):
            self._listening.add(sessions)
            for name, listener in self._session_listeners():
                event.listen(sessions, name, listener)

    def _watch_engine(self, engine: Engine, sessions: type[Session]) -> None:
        engine = root_engine(engine)
        known_by = self._engines.get(engine)
        if known_by is None:
            known_by = self._engines[engine] = WeakSet()
            EngineEvents.listen(engine, self)
        known_by.add(sessions)

    # -- transactions ------------------------------------------------------------------------------------------

    def _after_begin(self, session: Session, transaction: SessionTransaction, connection: Connection) -> None:
        engine: Any = connection.engine
        if not isinstance(engine, Engine):
            return  # a mock of a database in a test
        self._watch_engine(engine, type(session))
        held = self._sessions.setdefault(connection, [])
        if all(other() is not session for other in held):  # else a savepoint begins on it
            held.append(ref(session))
        state = SessionState.of(session).transaction
        if connection not in state.connections:
            state.connections.append(connection)
        state.engines.add(self)
        if connection.in_nested_transaction():
            state.within_savepoint()

    def _join(self, session: Session, state: SessionState) -> None:
        """Join a transaction that began before the system was attached."""
        transaction = session.get_nested_transaction() or session.get_transaction()
        if transaction is None or self in state.transaction.engines:
            return
        while transaction is not None:
            # SQLAlchemy publishes a connection only when it begins
            for connection, *_ in set(transaction._connections.values()):  # pyright: ignore[reportPrivateUsage]
                self._after_begin(session, transaction, connection)
            transaction = transaction.parent

    def attends(self, connection: Connection) -> bool:
        """Whether an attached session uses the connection."""
        return connection in self._sessions

    def _sessions_of(self, connection: Connection) -> list[Session]:
        return [session for held in self._sessions.get(connection, ()) if (session := held()) is not None]

    def _session_of(self, connection: Connection) -> Session | None:
        """Return the session that executes a statement: of several on one connection the last one that is working."""
        found = self._sessions_of(connection)
        if len(found) > 1:
            busy = [session for session in found if session._flushing or SessionState.of(session).is_managed]
            return (busy or found)[-1]
        return found[0] if found else None

    def _now_at_work(self, session: Session, state: SessionState) -> None:
        """Move a session behind the others on its connections, which may be waiting for it."""
        for connection in state.transaction.connections:
            held = self._sessions.get(connection, [])
            if len(held) > 1:
                held.sort(key=lambda other: other() is session)

    def _after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            state = SessionState.of(session)
            for connection in state.transaction.connections:
                left = [held for held in self._sessions.get(connection, ()) if held() not in (None, session)]
                if left:
                    self._sessions[connection] = left
                else:
                    self._sessions.pop(connection, None)
            state.transaction = TransactionState()

    def _after_soft_rollback(self, session: Session, previous: SessionTransaction) -> None:
        state = SessionState.of(session)
        running = state.flushes.get(self)
        if running is not None and not running.is_running:  # else it was a savepoint within the flush
            del state.flushes[self]

    def _to_transient(self, session: Session, instance: object) -> None:
        """Remove the computed values of an object whose INSERT was rolled back, so that it can be added again."""
        plan = self._catalog.plan  # never compiled here: a rollback must not raise the faults of declarations
        watch = None if plan is None else watch_of(plan, type(instance))
        if watch is not None:
            for name in watch.computed:
                instance_dict(instance).pop(name, None)

    def savepoint(self, connection: Connection, name: str | None) -> None:
        """Record that a savepoint begins on ``connection``."""
        for session in self._sessions_of(connection):
            # the event precedes the generation of the name that the rollback event will pass
            upcoming = getattr(connection, "_Connection__savepoint_seq", 0) + 1
            SessionState.of(session).transaction.savepoint(name or f"sa_savepoint_{upcoming}")

    def rollback_savepoint(self, connection: Connection, name: str) -> None:
        """Undo the changes of loaded objects since the savepoint, in every session on ``connection``."""
        for session in self._sessions_of(connection):
            SessionState.of(session).transaction.rollback_to(name)

    def release_savepoint(self, connection: Connection, name: str) -> None:
        """Record that a savepoint was released."""
        for session in self._sessions_of(connection):
            SessionState.of(session).transaction.release(name)

    # -- writes ------------------------------------------------------------------------------------------------

    def _before_flush(self, session: Session, context: Any, instances: Any) -> None:
        state = SessionState.of(session)
        state.flushes.pop(self, None)
        self.write_listeners.follow(state)
        if is_last(session.dispatch.before_flush, self._before_flush):
            self._begin_flush(session, context, instances)
        else:
            run_first(context, lambda: self._begin_flush(session, context, instances))

    def _begin_flush(self, session: Session, context: Any, instances: Sequence[object] | None) -> None:
        plan, state = self.plan, SessionState.of(session)
        running: RunningFlush[Flush] = RunningFlush(session, context)
        state.flushes[self] = running
        for unit in state.units:
            unit.before_flush()
        flushed = FlushedObjects.of(session)
        orphans = find_orphans(flushed, plan)
        classes = {*map(type, (*flushed.new, *flushed.dirty, *flushed.deleted, *orphans))}
        for mapped in classes:
            if mapped not in self._seen:
                refuse_stray(session, self.metadata, mapped)
                self._seen.add(mapped)
        if not state.wants_events and all(watch_of(plan, mapped) is None for mapped in classes):
            return
        self._join(session, state)
        self._now_at_work(session, state)
        flush = self._make_flush(session)
        flush.before(flushed.only(instances) if instances else flushed, orphans)
        running.flush = flush

    def _make_flush(self, session: Session) -> Flush:
        return Flush(session, self.statements_for(session))

    def _after_flush(self, session: Session, context: Any) -> None:
        running = SessionState.of(session).flushes.get(self)
        if running is not None and running.context is context:
            running.is_written = True
            self._finish_flush(running)

    def _after_flush_postexec(self, session: Session, context: Any) -> None:
        running = SessionState.of(session).flushes.pop(self, None)
        if running is not None and running.context is context:
            self._finish_flush(running)  # for statements executed by other listeners to after_flush
            tell_listeners(session)

    @staticmethod
    def _finish_flush(running: RunningFlush[Flush]) -> None:
        if running.flush is not None:
            flush, running.flush = running.flush, None
            flush.after(running)

    def _do_orm_execute(self, execution: ORMExecuteState) -> Any:
        if not (execution.is_insert or execution.is_update or execution.is_delete):
            return None
        options = options_of(execution)
        if MANAGED_OPTION in options:
            return None
        element = dml_of(execution.statement)
        if element is None:
            return None
        session = execution.session
        self.write_listeners.follow(SessionState.of(session))
        if go_last(execution, self._do_orm_execute):
            return execution.invoke_statement()
        plan = plan_if_ready(self.metadata)
        if plan is None:
            return None  # handled when it reaches the connection
        try:
            table = find_table(element.table, plan, lambda t: self._names_for(execution, t))
        except UnboundExecutionError:
            return None  # the session has no bind for the models; handled on the connection
        if table is None or not (is_watched(element, table, plan) or told_class(session, plan, table)):
            return None
        running = SessionState.of(session).flushes.get(self)
        if running is not None and running.takes_statements:
            refuse_rows_in_flush(DMLStatement.within(execution, element, table))
            return None  # it becomes a part of the flush when it reaches the connection
        is_wanted = options.get("autoflush", True) or not execution.is_orm_statement  # as in SQLAlchemy
        if is_wanted:
            session._autoflush()  # adds to an error what has caused the flush
        self._join(session, SessionState.of(session))
        return run_dml(DMLStatement.within(execution, element, table), lambda: self.statements_for(session))

    def _names_for(self, execution: ORMExecuteState, target: TableClause) -> TableNames | None:
        session = execution.session
        connection = session.connection(bind_arguments=execution.bind_arguments)
        return self._names_on(session, connection, options_of(execution), target)

    def _has_place(self, session: Session) -> bool:
        """Whether the session has a bind for the models."""
        try:
            bind_of(session, self.plan)
        except UnboundExecutionError:
            return False
        return True

    def _names_on(
        self, session: Session, connection: Connection, options: Mapping[str, Any], target: TableClause | None = None
    ) -> TableNames | None:
        """Return the table names of the connection's database; ``None`` if ``target`` is in another database."""
        if isinstance(target, Table) and Attachments.of(target.metadata).covers(type(session)):
            return None
        if bind_of(session, self.plan).engine.pool is not connection.engine.pool:
            return None
        schemas = {**connection.get_execution_options(), **options}.get("schema_translate_map")
        return TableNames(connection.dialect, schemas)

    def before_write(
        self, connection: Connection, element: Any, parameters: Any, options: Mapping[str, Any], *, attended: bool
    ) -> Any:
        """Handle an INSERT, UPDATE or DELETE, or refuse it if the engine cannot follow it.

        :return: the statement to run instead.
        """
        session = self._session_of(connection) if attended else None
        if session is None:
            self._unattached.hear(connection, element, options)
            return element
        state = SessionState.of(session)
        plan = plan_if_ready(self.metadata)
        if plan is None:
            self._unattached.hear(connection, element, options, attended=True)
            return element
        if plan.sequences and element.is_insert and not ENGINE_OPTIONS.keys() <= options.keys():
            note_given_ids(session, connection, plan, element, parameters)
        if state.is_managed:
            return element
        try:

            def names(target: TableClause) -> TableNames | None:
                return self._names_on(session, connection, options, target)

            table = written_table(element, options, plan, names)
            if table is None and self._unmanaged_dml != "allow":
                refuse_other_names(connection, element, options, plan, names, self._refuse)
        except UnboundExecutionError:  # the session has no bind for the models
            self._unattached.hear(connection, element, options)
            return element
        if table is None:
            return element
        running = state.flushes.get(self)
        flush = running.begun(lambda: self._make_flush(session)) if running is not None else None
        return watch_statement(element, table, parameters, options, plan, running, flush, self._refuse)

    def before_inner_writes(self, connection: Connection, context: Any, text: str, *, attended: bool) -> None:
        """Refuse writes that are parts of another statement; warn about writes in SQL text."""
        session = self._session_of(connection) if attended else None
        plan = plan_if_ready(self.metadata) if session is not None else None
        if session is None or plan is None:
            self._unattached.hear_inner(connection, context, text)
            return
        options = context.execution_options
        try:  # the bind of the session is determined only for possible writes
            if is_text(context):
                names = self._names_on(session, connection, options)
                found = () if names is None else textual_writes(text, plan, names, connection)
                for table, verb in found:
                    if self._unmanaged_dml != "allow":  # never refused: the parsed result may be wrong
                        Caller.now().warn(textual_write(table, verb), UnfollowedWriteWarning)
                return
            for error in inner_writes(context, plan, lambda t: self._names_on(session, connection, options, t)):
                self._refuse(error)
        except UnboundExecutionError:  # the session has no bind for the models
            self._unattached.hear_inner(connection, context, text)

    def replaced(self, connection: Connection, seen: Any, parameters: Any, context: Any, *, attended: bool) -> None:
        """Refuse a statement that a listener has executed instead of ``seen``, if computed values depend on it."""
        session, plan, options = self._session_of(connection), plan_if_ready(self.metadata), context.execution_options
        final = getattr(context.invoked_statement, "statement", context.invoked_statement)
        if not attended or session is None or plan is None or not self._has_place(session):
            if getattr(final, "is_dml", False):
                self._unattached.hear(connection, final, options)
            return
        if STATEMENT_OPTION in options and ENGINE_OPTIONS.keys() <= options.keys():
            self._refuse(replaced_write(None))
            return
        for dml in (dml_of(final), dml_of(getattr(seen, "statement", seen))):
            table = self._watched(session, connection, dml, options)
            if table is not None:
                self._refuse(replaced_write(table))
                return

    def _watched(self, session: Session, connection: Connection, dml: Any, options: Mapping[str, Any]) -> Table | None:
        """Return the table that a statement writes, if the engine has to follow it."""
        if dml is None:
            return None
        table = find_table(dml.table, self.plan, lambda t: self._names_on(session, connection, options, t))
        return table if table is not None and is_watched(dml, table, self.plan) else None

    def changed_text(self, connection: Connection, context: Any, text: str) -> None:
        """Refuse a write whose text a listener has changed, if computed values depend on it."""
        session, plan = self._session_of(connection), plan_if_ready(self.metadata)
        if session is None or plan is None or not self._has_place(session):
            return
        options = context.execution_options
        names = self._names_on(session, connection, options)
        dml = dml_of(context.compiled.statement) if context.compiled is not None else None
        table = self._watched(session, connection, dml, options)
        if table is not None or ENGINE_OPTIONS.keys() <= options.keys():
            self._refuse(replaced_write(table))
        elif names is not None and may_write(text):
            for found, _ in textual_writes(text, plan, names, connection):
                self._refuse(replaced_write(found))

    def _refuse(self, error: UnmanagedWriteError) -> None:
        if self._unmanaged_dml == "raise":
            raise error
        if self._unmanaged_dml == "warn":
            Caller.now().warn(str(error), UnfollowedWriteWarning)
