"""The controller of synchronous programs."""

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
from .context import Context
from .controller_assembly import assemble
from .database_setup import set_up
from .result import DispatchResult

if TYPE_CHECKING:
    from ..storage import Storage
    from .system import System


class Controller:
    """Dispatches events: the entry of business facts into a system.

    :param system: the system whose data the events change.
    :param entities: definitions given here are compiled onto the system's base; so are ``relations``,
        ``dictionaries`` and the entities of ``event_sources``.
    :param event_sources: what can be dispatched; names are unique.
    :param record_mutation_side_effects: what follows the commit of a dispatch.
    :param ignore_guard: run no guards, as tests and imports want it.
    :param raise_errors: raise what a result would otherwise hold as ``error``.
    :raises DefinitionError: with all faults of definitions, event sources and side effects, before any SQL. A coroutine
        function is such a fault: see :class:`.AsyncController`. Computations are looked at when the definitions have
        no faults: here if something else is wrong, else by :meth:`setup`.

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
        """Make sure that the database has what is declared.

        :param install: create what is missing and write the defaults of dictionaries; repeatable, changes nothing
            that exists. Without it the database is only compared.
        :raises DefinitionError: with all faults of computations, before any SQL; or if tables, columns or sequences are
            missing, with all of them.
        :raises ConstraintSetupError: if a unique constraint is missing.
        """
        set_up(self.system, install=install)

    def dispatch(
        self, event_source: EventSource | str, args: Any, *, session: Session | scoped_session[Any] | None = None
    ) -> DispatchResult:
        """Let an event happen: store it, with all that follows from it, in one transaction.

        Without ``session`` it has a transaction of its own, which is repeated when others stand in its way, and
        committed. With ``session`` it is a part of that session's transaction, in a savepoint: it is tried once, the
        caller commits, and ``post_commit`` and side effects wait for that commit.

        :param event_source: an event source of this controller, or its name.
        :param args: plain data: mappings, lists, scalars, models of pydantic and msgspec. Each attempt gets a copy.
        :param session: a session of a factory to which the system is attached.
        :return: what came of it. Errors of the package and of the database are in its ``error``; then nothing of the
            dispatch remains. All other errors are raised.
        :raises LookupError: if the controller has no such event source.
        :raises NestedDispatchError: inside another dispatch.
        :raises TypeError: if ``args`` are not plain data, such as an ORM instance.
        """
        joined = session() if isinstance(session, scoped_session) else session
        if joined is not None and not isinstance(joined, Session):
            raise TypeError(f"session= takes a Session, not {joined!r}; an AsyncSession needs an AsyncController")
        return self._dispatcher.dispatch(event_source, args, joined)

    def call_interaction(
        self, name: str, args: Any, *, session: Session | scoped_session[Any] | None = None
    ) -> DispatchResult:
        """Dispatch an interaction by name; see :meth:`dispatch`."""
        return self.dispatch(name, args, session=session)

    def teardown(self) -> None:
        """Forget the event sources; the system can have another controller."""
        self._dispatcher.close()

    def _open_context(
        self, source: EventSource, attempt: int, isolation: str, session: Session | None = None
    ) -> DispatchContext:
        return DispatchContext(
            self, self.system.session_factory() if session is None else session, source, attempt, isolation
        )


class DispatchContext(Context):
    """What the functions of a synchronous dispatch get as ``ctx``; see :class:`.Context`."""

    __slots__ = ()
    controller: Controller
    session: Session

    @property
    def storage(self) -> Storage:
        """The storage: during the dispatch a part of its transaction; after the commit each call has its own."""
        storage = self.controller.system.storage
        return storage.with_session(self.session) if self.is_running else storage

    @property
    def sync_session(self) -> Session:
        return self.session

    def settle(self, value: Any, where: str) -> Any:
        return refuse_awaitable(value, where)
