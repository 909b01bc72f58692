"""The synchronous controller."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, scoped_session

from ..definitions.dictionary import Dictionary
from ..definitions.event_source import EventSource, RecordMutationSideEffect
from ..definitions.records import Entity, Relation
from ..definitions.short_repr import shorten
from ..definitions.validation import refuse_awaitable
from .call_arguments import dispatching
from .context import Context
from .controller_assembly import assemble
from .database_setup import set_up
from .result import DispatchResult

if TYPE_CHECKING:
    from ..storage import Storage
    from .system import System


class Controller:
    """Dispatch events in a system.

    :param system: the :class:`.System` whose data the events change.
    :param entities: :class:`.Entity` values, compiled on the system's base.
    :param relations: :class:`.Relation` values, likewise.
    :param dictionaries: :class:`.Dictionary` values, likewise.
    :param event_sources: the :class:`.EventSource` values that can be dispatched, with unique names; their entities are
        compiled too.
    :param record_mutation_side_effects: :class:`.RecordMutationSideEffect` values, called after the commit of a
        dispatch.
    :param ignore_guard: skip all guards, as for tests and imports.
    :param raise_errors: raise the errors that a result otherwise holds as ``error``.
    :raises DefinitionError: with all faults of definitions, event sources and side effects, before any SQL. A coroutine
        function is such a fault; it needs an :class:`.AsyncController`. The faults of computations are included if
        there are others, else :meth:`setup` raises them.

    ::

        controller = Controller(System(SessionLocal, base=Base), event_sources=[PlaceOrder])
        controller.setup()
        result = controller.dispatch(PlaceOrder, {"user": {"id": 1}, "payload": {"total": 10}})
    """

    def __init__(
        self,
        system: System,
        *,
        entities: Iterable[Entity] = (),
        relations: Iterable[Relation] = (),
        dictionaries: Iterable[Dictionary] = (),
        event_sources: Iterable[EventSource] = (),
        record_mutation_side_effects: Iterable[RecordMutationSideEffect] = (),
        ignore_guard: bool = False,
        raise_errors: bool = False,
    ) -> None:
        self.system = system
        self._dispatcher = assemble(
            system,
            entities=entities,
            relations=relations,
            dictionaries=dictionaries,
            event_sources=event_sources,
            side_effects=record_mutation_side_effects,
            open_context=self._open_context,
            sleep=time.sleep,
            awaits=False,
            ignore_guard=ignore_guard,
            raise_errors=raise_errors,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.system!r}, event_sources={shorten(self._dispatcher.names)})"

    def setup(self, *, install: bool = False) -> None:
        """Verify that the database has all declared tables, columns, sequences and unique constraints.

        :param install: create missing tables, sequences and the rows of dictionaries first; idempotent, existing tables
            are not changed. Without it the database is not changed.
        :raises DefinitionError: with all faults of computations, before any SQL; or with all missing tables, columns
            and sequences.
        :raises ConstraintSetupError: if a unique constraint is missing.
        """
        set_up(self.system, install=install)

    @dispatching
    def dispatch(
        self, event_source: EventSource | str, args: Any, *, session: Session | scoped_session[Any] | None = None
    ) -> DispatchResult:
        """Dispatch an event: store it, and update the values computed from it, in one transaction.

        Without ``session`` the dispatch has a transaction of its own, which is committed, and retried after
        serialization failures and deadlocks. With ``session`` it runs once, in a savepoint of that session's
        transaction; the caller commits, and ``post_commit`` and side effects run after that commit.

        :param event_source: an event source of this controller, or its name.
        :param args: plain data: mappings, lists, scalars, models of pydantic and msgspec. Each attempt gets a copy.
        :param session: a ``Session`` or ``scoped_session`` that the system is attached to.
        :return: the result. Its ``error`` holds errors of the package and of the database; the dispatch has been rolled
            back then, unless its ``outcome`` is ``"unknown"``. All other errors are raised.
        :raises LookupError: if the controller has no such event source.
        :raises NestedDispatchError: inside another dispatch.
        :raises TypeError: if ``args`` are not plain data, such as an ORM instance, or ``session`` is not a session.
        """
        joined = session() if isinstance(session, scoped_session) else session
        if joined is not None and not isinstance(joined, Session):
            raise TypeError(f"session= takes a Session, not {joined!r}; an AsyncSession needs an AsyncController")
        return self._dispatcher.dispatch(event_source, args, joined)

    @dispatching
    def call_interaction(
        self, name: str, args: Any, *, session: Session | scoped_session[Any] | None = None
    ) -> DispatchResult:
        """Dispatch an interaction by name; see :meth:`dispatch`.

        :param name: name of the interaction.
        :param args: as for :meth:`dispatch`.
        :param session: as for :meth:`dispatch`.
        """
        return self.dispatch(name, args, session=session)

    def teardown(self) -> None:
        """Remove the event sources, so that the system can have another controller."""
        self._dispatcher.close()

    def _open_context(
        self, source: EventSource, attempt: int, isolation: str, session: Session | None = None
    ) -> DispatchContext:
        return DispatchContext(
            self, self.system.session_factory() if session is None else session, source, attempt, isolation
        )


class DispatchContext(Context):
    """The ``ctx`` argument of the functions of a synchronous dispatch.

    :ivar controller: the :class:`.Controller`.
    :ivar session: the ``Session`` of the attempt, which the functions must not commit or roll back. After the commit it
        is a new session, whose writes ``post_commit`` and side effects have to commit themselves.
    :ivar event_source: the dispatched event source.
    :ivar attempt: number of the attempt, counted from 1.
    :ivar isolation: isolation level of the attempt.

    ::

        def is_known(ctx, args):
            return ctx.storage.find_one("Order", args["payload"]["order"]) is not None
    """

    __slots__ = ()
    controller: Controller
    session: Session

    @property
    def storage(self) -> Storage:
        """The system's storage, in the transaction of the dispatch; after the commit each call has its own."""
        storage = self.controller.system.storage
        return storage.with_session(self.session) if self.is_running else storage

    @property
    def sync_session(self) -> Session:
        return self.session

    def settle(self, value: Any, where: str) -> Any:
        return refuse_awaitable(value, where)
