"""The controller of asynchronous programs: the synchronous course of a dispatch, inside one greenlet."""

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
from .context import Context
from .controller_assembly import assemble
from .database_setup import set_up
from .result import DispatchResult

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

    from ..storage import AsyncStorage
    from .async_system import AsyncSystem


class AsyncController:
    """Dispatches events in asynchronous programs.

    The functions of event sources, interactions and side effects may be coroutine functions. See
    :class:`.Controller` for the parameters.

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
        """Make sure that the database has what is declared; see :meth:`.Controller.setup`."""
        await greenlet_spawn(set_up, self.system.sync_system, install=install)

    async def dispatch(
        self,
        event_source: EventSource | str,
        args: Any,
        *,
        session: AsyncSession | async_scoped_session[Any] | None = None,
    ) -> DispatchResult:
        """Let an event happen; see :meth:`.Controller.dispatch`."""
        from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session

        joined = session() if isinstance(session, async_scoped_session) else session
        if joined is not None and not isinstance(joined, AsyncSession):
            raise TypeError(f"session= takes an AsyncSession, not {joined!r}; a Session needs a Controller")
        return await greenlet_spawn(self._dispatcher.dispatch, event_source, args, joined)

    async def call_interaction(
        self, name: str, args: Any, *, session: AsyncSession | async_scoped_session[Any] | None = None
    ) -> DispatchResult:
        """Dispatch an interaction by name; see :meth:`.Controller.dispatch`."""
        return await self.dispatch(name, args, session=session)

    async def teardown(self) -> None:
        """Forget the event sources; the system can have another controller."""
        self._dispatcher.close()

    def _open_context(
        self, source: EventSource, attempt: int, isolation: str, session: AsyncSession | None = None
    ) -> AsyncDispatchContext:
        return AsyncDispatchContext(
            self, self.system.session_factory() if session is None else session, source, attempt, isolation
        )


class AsyncDispatchContext(Context):
    """What the functions of an asynchronous dispatch get as ``ctx``; see :class:`.Context`."""

    __slots__ = ()
    controller: AsyncController
    session: AsyncSession

    @property
    def storage(self) -> AsyncStorage:
        """The storage: during the dispatch a part of its transaction; after the commit each call has its own."""
        storage = self.controller.system.storage
        return storage.with_session(self.session) if self.is_running else storage

    @property
    def sync_session(self) -> Session:
        return self.session.sync_session

    def settle(self, value: Any, where: str) -> Any:
        return await_only(value) if inspect.isawaitable(value) else value
