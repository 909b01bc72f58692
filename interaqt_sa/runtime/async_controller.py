"""The asynchronous controller, which runs the synchronous dispatch inside a greenlet."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session
from sqlalchemy.util import await_only, greenlet_spawn

from ..definitions.dictionary import Dictionary
from ..definitions.event_source import EventSource, RecordMutationSideEffect
from ..definitions.records import Entity, Relation
from ..definitions.short_repr import shorten
from ..session.retry import async_sleep
from .call_arguments import dispatching
from .context import Context
from .controller_assembly import assemble
from .database_setup import set_up
from .result import DispatchResult

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

    from ..storage import AsyncStorage
    from .async_system import AsyncSystem


class AsyncController:
    """Dispatch events with asyncio.

    The functions of event sources, interactions and side effects may be coroutine functions.

    :param system: the :class:`.AsyncSystem` whose data the events change.
    :param entities: as for :class:`.Controller`.
    :param relations: as for :class:`.Controller`.
    :param dictionaries: as for :class:`.Controller`.
    :param event_sources: as for :class:`.Controller`.
    :param record_mutation_side_effects: as for :class:`.Controller`.
    :param ignore_guard: as for :class:`.Controller`.
    :param raise_errors: as for :class:`.Controller`.
    :raises DefinitionError: as for :class:`.Controller`, except that coroutine functions are allowed.

    ::

        controller = AsyncController(AsyncSystem(Sessions, base=Base), event_sources=[PlaceOrder])
        result = await controller.dispatch(PlaceOrder, {"user": {"id": 1}, "payload": {"total": 10}})
    """

    def __init__(
        self,
        system: AsyncSystem,
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
            system.sync_system,
            entities=entities,
            relations=relations,
            dictionaries=dictionaries,
            event_sources=event_sources,
            side_effects=record_mutation_side_effects,
            open_context=self._open_context,
            sleep=async_sleep,
            awaits=True,
            ignore_guard=ignore_guard,
            raise_errors=raise_errors,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.system!r}, event_sources={shorten(self._dispatcher.names)})"

    async def setup(self, *, install: bool = False) -> None:
        """Verify the database, and create missing tables if requested; see :meth:`.Controller.setup`.

        :param install: as for :meth:`.Controller.setup`.
        """
        await greenlet_spawn(set_up, self.system.sync_system, install=install)

    @dispatching
    async def dispatch(
        self,
        event_source: EventSource | str,
        args: Any,
        *,
        session: AsyncSession | async_scoped_session[Any] | None = None,
    ) -> DispatchResult:
        """Dispatch an event; see :meth:`.Controller.dispatch`.

        :param event_source: as for :meth:`.Controller.dispatch`.
        :param args: as for :meth:`.Controller.dispatch`.
        :param session: an ``AsyncSession`` or ``async_scoped_session`` that the system is attached to.
        """
        from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

        joined = session() if isinstance(session, async_scoped_session) else session
        if joined is not None and not isinstance(joined, AsyncSession):
            raise TypeError(f"session= takes an AsyncSession, not {joined!r}; a Session needs a Controller")
        return await greenlet_spawn(self._dispatcher.dispatch, event_source, args, joined)

    @dispatching
    async def call_interaction(
        self, name: str, args: Any, *, session: AsyncSession | async_scoped_session[Any] | None = None
    ) -> DispatchResult:
        """Dispatch an interaction by name; see :meth:`.Controller.dispatch`.

        :param name: name of the interaction.
        :param args: as for :meth:`.Controller.dispatch`.
        :param session: as for :meth:`dispatch`.
        """
        return await self.dispatch(name, args, session=session)

    async def teardown(self) -> None:
        """Remove the event sources, so that the system can have another controller."""
        self._dispatcher.close()

    def _open_context(
        self, source: EventSource, attempt: int, isolation: str, session: AsyncSession | None = None
    ) -> AsyncDispatchContext:
        return AsyncDispatchContext(
            self, self.system.session_factory() if session is None else session, source, attempt, isolation
        )


class AsyncDispatchContext(Context):
    """The ``ctx`` argument of the functions of an asynchronous dispatch.

    :ivar controller: the :class:`.AsyncController`.
    :ivar session: the ``AsyncSession`` of the attempt, which the functions must not commit or roll back. After the
        commit it is a new session, whose writes ``post_commit`` and side effects have to commit themselves.
    :ivar event_source: the dispatched event source.
    :ivar attempt: number of the attempt, counted from 1.
    :ivar isolation: isolation level of the attempt.

    ::

        async def is_known(ctx, args):
            return await ctx.storage.find_one("Order", args["payload"]["order"]) is not None
    """

    __slots__ = ()
    controller: AsyncController
    session: AsyncSession

    @property
    def storage(self) -> AsyncStorage:
        """The system's storage, in the transaction of the dispatch; after the commit each call has its own."""
        storage = self.controller.system.storage
        return storage.with_session(self.session) if self.is_running else storage

    @property
    def sync_session(self) -> Session:
        return self.session.sync_session

    def settle(self, value: Any, where: str) -> Any:
        return await_only(value) if inspect.isawaitable(value) else value
