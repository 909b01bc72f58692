"""The stages of a dispatch, shared by the sync and async controllers.

One attempt::

    copy args -> guard -> map_event_data -> event record (computations follow) -> resolve -> after_dispatch -> COMMIT

After the commit ``post_commit`` and the side effects run once. In a joined session the dispatch is a savepoint with one
attempt, and ``post_commit`` and the side effects run after the caller's commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import MetaData, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Mapper, Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

from ..definitions.event_source import EventSource
from ..definitions.short_repr import shorten
from ..errors import (
    FrameworkError,
    InteractionGuardError,
    InvalidValueError,
    NestedDispatchError,
    TransactionCapabilityError,
    TransactionOutcomeUnknownError,
)
from ..schema.record_lookup import record_name, resolve_record
from ..schema.value_checks import checked_value
from ..session.after_commit import run_after_commit
from ..session.commit_outcome import commit
from ..session.retry import READ_COMMITTED, SERIALIZABLE, Attempt, run_attempts, set_isolation
from ..session.state import SessionState
from ..session.violations import with_constraint_violation
from .context import Context
from .current_dispatch import running, running_context
from .dispatch_arguments import is_mapping, plain_copy
from .post_commit import Aftermath, OpenContext, mapping_or_none
from .result import DispatchResult
from .table_locks import lock_whole_tables

#: Errors that are returned in the result; all others are programming errors and are raised.
HELD_ERRORS = (FrameworkError, DBAPIError, PoolTimeoutError, StaleDataError)


class _Prepared:
    """An event source with its mapper.

    :ivar serializable: whether it runs at SERIALIZABLE, because the system does or an earlier attempt required it.
    :ivar tables: the tables that earlier attempts required to lock.
    """

    __slots__ = ("mapper", "serializable", "source", "tables")

    def __init__(self, source: EventSource, mapper: Mapper[Any], serializable: bool) -> None:
        self.source = source
        self.mapper = mapper
        self.serializable = serializable
        self.tables: frozenset[Any] = frozenset()


class Dispatcher:
    """Dispatch the event sources of one controller, for an asynchronous one inside a greenlet.

    :param add_row: inserts a row in a session's transaction, and updates the values computed from it.
    :param open_context: creates contexts with their sessions.
    :param session_factory: creates the synchronous sessions.
    :param sleep: waits for a number of seconds between attempts.
    :param isolation: the isolation level, unless an attempt requires SERIALIZABLE.
    """

    def __init__(
        self,
        metadata: MetaData,
        sources: Iterable[EventSource],
        aftermath: Aftermath,
        *,
        add_row: Callable[[Session, Mapper[Any], Mapping[str, Any]], None],
        open_context: OpenContext,
        session_factory: sessionmaker[Session],
        sleep: Callable[[float], None],
        isolation: str,
        ignore_guard: bool,
        raise_errors: bool,
    ) -> None:
        self._metadata = metadata
        self._aftermath = aftermath
        self._add_row = add_row
        self._open = open_context
        self._session_factory = session_factory
        self._sleep = sleep
        self._isolation = isolation
        self._ignore_guard = ignore_guard
        self._raise_errors = raise_errors
        self._prepared: dict[EventSource | str, _Prepared] = {}
        for source in sources:
            prepared = _Prepared(source, resolve_record(metadata, source.entity), isolation == SERIALIZABLE)
            self._prepared[source] = self._prepared[source.name] = prepared
        event.listen(session_factory, "before_commit", _refuse_foreign_commit)

    @property
    def names(self) -> list[str]:
        """Names of the event sources."""
        return sorted(key for key in self._prepared if isinstance(key, str))

    def source(self, given: Any) -> EventSource | None:
        """Return an event source, or the one of that name."""
        prepared = self._prepared.get(given) if isinstance(given, (str, EventSource)) else None
        return None if prepared is None else prepared.source

    def close(self) -> None:
        """Remove the event sources."""
        self._prepared.clear()

    def dispatch(self, source: EventSource | str, args: Any, session: Any = None) -> DispatchResult:
        """Dispatch an event; see :meth:`.Controller.dispatch`."""
        try:
            prepared = self._prepared.get(source)
        except TypeError:  # not hashable
            prepared = None
        if prepared is None:
            known = ", ".join(self.names) or "none"
            raise LookupError(
                f"{shorten(source)} is not an event source of this controller, which has {known}; "
                "give it to the controller in event_sources=[…]"
            )
        outer = running_context()
        if outer is not None:
            raise NestedDispatchError(
                f"{prepared.source.name!r} was dispatched inside the dispatch of {outer.event_source.name!r}; "
                "dispatch it in post_commit, or derive its data by a computation",
                outer=outer.event_source.name,
                nested=prepared.source.name,
            )
        if session is not None:
            return self._join(prepared, args, session)
        return self._run(prepared, args)

    def _run(self, prepared: _Prepared, given: Any) -> DispatchResult:
        """Dispatch in a transaction of its own, with retry."""
        source = prepared.source
        name = f"dispatch of {source.name!r}"
        last: Context | None = None
        is_committing = False

        def once(attempt: Attempt) -> tuple[dict[str, Any], DispatchResult]:
            nonlocal last, is_committing
            is_committing = False
            args = _copied(given)
            isolation = self._isolation
            if attempt.serializable:
                isolation, prepared.serializable = SERIALIZABLE, True
                prepared.tables |= attempt.tables
            last = ctx = self._open(source, attempt.number, isolation)
            with ctx.sync_session as session:
                boundary = session.get_transaction() or session.begin()
                if isolation != READ_COMMITTED:
                    set_isolation(session, isolation, {"mapper": prepared.mapper})
                state = SessionState.of(session)
                state.is_repeated = True
                if attempt.tables:
                    lock_whole_tables(session, self._metadata, attempt.tables, {"mapper": prepared.mapper})
                state.collect_events = True
                state.context = ctx
                with running(ctx, boundary):
                    result = self._stages(prepared, ctx, session, args)
                    transaction = state.transaction
                    ctx.boundary = None
                    is_committing = True
                    commit(session, name)
                    is_committing = False
                result.effects = tuple(transaction.events)
                return args, result

        try:
            args, result = run_attempts(
                once, name=name, serializable=prepared.serializable, tables=prepared.tables, sleep=self._sleep
            )
        except HELD_ERRORS as error:
            failure = self._failed(error, last)
            if is_committing and isinstance(error, TransactionOutcomeUnknownError):
                failure.outcome = "unknown"
            return failure
        if self._aftermath.is_due(source, result.effects):
            self._aftermath.follow(source, args, result)
        return result

    def _join(self, prepared: _Prepared, given: Any, session: Any) -> DispatchResult:
        """Dispatch in a savepoint of the caller's transaction."""
        source = prepared.source
        try:
            args = _copied(given)
        except InvalidValueError as error:
            return self._failed(error, None)
        ctx = self._open(source, 1, self._isolation, session)
        joined = ctx.sync_session
        boundary = joined.begin_nested()  # flushes pending objects of the caller, whose errors are raised
        options = joined.connection(bind_arguments={"mapper": prepared.mapper}).get_execution_options()
        ctx.isolation = options.get("isolation_level", self._isolation)
        state = SessionState.of(joined)
        transaction, begin = state.transaction, len(state.transaction.events)
        before = state.collect_events, state.context
        state.collect_events, state.context = True, ctx

        # a new function: SQLAlchemy identifies listeners by the ids of function and target, which may be reused
        def refuse(session: Session) -> None:
            _refuse_foreign_commit(session)

        event.listen(joined, "before_commit", refuse)
        try:
            with boundary, running(ctx, boundary):
                result = self._stages(prepared, ctx, joined, args)
                joined.flush()
        except HELD_ERRORS as error:
            return self._failed(error, ctx)
        finally:
            state.collect_events, state.context = before
            event.remove(joined, "before_commit", refuse)
        result.effects = tuple(transaction.events[begin:])
        if self._aftermath.is_due(source, result.effects):
            run_after_commit(joined, lambda: self._aftermath.follow(source, args, result))
        return result

    def _stages(self, prepared: _Prepared, ctx: Context, session: Session, args: dict[str, Any]) -> DispatchResult:
        """Run the stages of an attempt inside the transaction, without the commit."""
        source, settle, boundary = prepared.source, ctx.settle, ctx.boundary
        if source.guard is not None and not self._ignore_guard:
            verdict = settle(source.guard(ctx, args), f"guard of {source.name!r}")
            if verdict is False:
                raise InteractionGuardError(
                    f"the guard of {source.name!r} rejected the dispatch", check="guard", type="guard returned False"
                )
        values: Any = {}
        if source.map_event_data is not None:
            values = settle(source.map_event_data(ctx, args), f"map_event_data of {source.name!r}")
            if not is_mapping(values):
                raise TypeError(f"map_event_data of {source.name!r} must return a mapping, not {values!r}")
        self._add_row(session, prepared.mapper, _checked_row(session, prepared.mapper, values))
        data = None
        if source.resolve is not None:
            data = settle(source.resolve(ctx, args), f"resolve of {source.name!r}")
        context: dict[str, Any] = {}
        if source.after_dispatch is not None:
            where = f"after_dispatch of {source.name!r}"
            context = mapping_or_none(settle(source.after_dispatch(ctx, args, data), where), where)
        if boundary is None or not boundary.is_active:
            raise TransactionCapabilityError(
                f"a function of the dispatch of {source.name!r} ended its transaction; "
                "raise an error to undo the dispatch, use session.begin_nested() to undo a part of it"
            )
        return DispatchResult(data=data, context=context, attempts=ctx.attempt, isolation=ctx.isolation)

    def _failed(self, error: Exception, ctx: Context | None) -> DispatchResult:
        error = with_constraint_violation(error, self._metadata)
        if self._raise_errors:
            raise error
        attempts, isolation = (ctx.attempt, ctx.isolation) if ctx is not None else (0, self._isolation)
        return DispatchResult(error=error, attempts=attempts, isolation=isolation)


def _refuse_foreign_commit(session: Session) -> None:
    # a commit by a function of the dispatch would store a part of the dispatch even if the rest fails
    ctx = running_context()
    if ctx is None or ctx.boundary is None or ctx.sync_session is not session:
        return
    if (session.get_nested_transaction() or session.get_transaction()) is ctx.boundary:
        raise TransactionCapabilityError(
            f"a function of the dispatch of {ctx.event_source.name!r} called commit(); the dispatch commits by itself"
        )


def _copied(given: Any) -> dict[str, Any]:
    try:
        args: dict[str, Any] = plain_copy(given)
    except RecursionError as error:
        raise InvalidValueError(
            "args are nested deeper than Python can follow here", code="INVALID_ARGUMENT"
        ) from error
    if type(args) is not dict:
        # such as the result of a JSON parser for an array
        raise InvalidValueError(
            f"the arguments of a dispatch are a mapping, not {shorten(given)}", code="INVALID_ARGUMENT"
        )
    return args


def _checked_row(session: Session, mapper: Mapper[Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the attributes of an event, checked and converted for their columns before any write."""
    dialect = session.get_bind(mapper=mapper).dialect
    record = record_name(mapper)
    return {
        name: checked_value(mapper.column_attrs[name].columns[0], value, dialect, record=record, name=name)
        if name in mapper.column_attrs
        else value
        for name, value in values.items()
    }
