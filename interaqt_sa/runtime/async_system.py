"""The asynchronous system, which runs the synchronous one inside greenlets."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.util import greenlet_spawn

from ..definitions.type_aliases import RecordRef
from ..engine.engine import CheckReport, ComputationGraph
from ..errors import FrameworkError
from ..schema.schema_inspection import Schema
from ..session.factory_advice import wrong_factory
from ..storage import AsyncStorage
from .inner_sync_factories import factory_of, is_session_class, maker_of, sync_factory, sync_options
from .system import Isolation, System

if TYPE_CHECKING:
    # imported inside functions at run time, because it requires greenlet
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker

_ATTACHABLE = "an async_sessionmaker, an async_scoped_session or an AsyncSession class"


class AsyncSystem:
    """Maintain the computed values of one MetaData in the asynchronous sessions of one database.

    :param bind: an ``AsyncEngine``, or an ``async_sessionmaker``, ``async_scoped_session`` or ``AsyncSession`` class,
        which is attached at once and whose new sessions take part.
    :param base: as for :class:`.System`.
    :param unmanaged_dml: as for :class:`.System`.
    :param unattached: as for :class:`.System`.
    :param configure_sqlite: as for :class:`.System`.
    :param isolation: as for :class:`.System`.
    :raises TypeError: if ``bind`` or ``base`` is none of these, such as a synchronous ``Engine``.
    :raises TransactionCapabilityError: if the database is not supported.
    :ivar session_factory: an ``async_sessionmaker`` of sessions that take part.
    :ivar storage: the :class:`.AsyncStorage` for reading and writing records by name.

    ::

        Sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://…"), expire_on_commit=False)
        system = AsyncSystem(Sessions, base=Base)
    """

    def __init__(
        self,
        bind: AsyncEngine | async_sessionmaker[Any] | async_scoped_session[Any] | type[AsyncSession],
        *,
        base: type[DeclarativeBase] | registry | MetaData | Schema | None = None,
        unmanaged_dml: Literal["raise", "warn", "allow"] = "raise",
        unattached: Literal["raise", "warn", "allow"] = "warn",
        configure_sqlite: bool = True,
        isolation: Isolation = "READ COMMITTED",
    ) -> None:
        self.session_factory: async_sessionmaker[AsyncSession] = factory_of(bind)
        factory = sync_factory(self.session_factory)
        self._attached = WeakKeyDictionary({self.session_factory: factory})
        self._sync_system = System(
            factory,
            base=base,
            unmanaged_dml=unmanaged_dml,
            unattached=unattached,
            configure_sqlite=configure_sqlite,
            isolation=isolation,
        )
        if is_session_class(bind):
            self.attach(bind)
        self.storage = AsyncStorage(self.session_factory, self._sync_system.storage)

    @property
    def sync_system(self) -> System:
        """The underlying :class:`.System`; its methods need a greenlet (``greenlet_spawn``, ``run_sync``)."""
        # the application may have configured an engine since
        self._sync_system.session_factory.configure(**sync_options(self.session_factory))
        return self._sync_system

    @property
    def schema(self) -> Schema:
        """The schema of the MetaData; see :attr:`.System.schema`."""
        return self.sync_system.schema

    def attach(self, target: async_sessionmaker[Any] | async_scoped_session[Any] | type[AsyncSession]) -> None:
        """Maintain computed values in the sessions of ``target`` too; idempotent.

        For an ``AsyncSession`` class its ``sync_session_class`` is attached: for ``AsyncSession`` itself this is
        :class:`sqlalchemy.orm.Session`, and so every session of the program.

        :param target: an ``async_sessionmaker``, ``async_scoped_session`` or ``AsyncSession`` class.
        :raises FrameworkError: if another system of the same MetaData is attached to it.
        :raises TypeError: if ``target`` is none of these.
        """
        if is_session_class(target):
            self.sync_system.attach(target.sync_session_class)
            return
        factory = maker_of(target)
        if factory is None:
            raise wrong_factory("AsyncSystem.attach()", _ATTACHABLE, target)
        if factory not in self._attached:
            self._attached[factory] = sync_factory(factory)
        self.sync_system.attach(self._attached[factory])

    def detach(self, target: async_sessionmaker[Any] | async_scoped_session[Any] | type[AsyncSession]) -> None:
        """Undo :meth:`attach`.

        :param target: as for :meth:`attach`.
        :raises FrameworkError: if ``target`` was never attached.
        :raises TypeError: if ``target`` is none of these.
        """
        if is_session_class(target):
            self.sync_system.detach(target.sync_session_class)
            return
        factory = maker_of(target)
        if factory is None:
            raise wrong_factory("AsyncSystem.detach()", _ATTACHABLE, target)
        if factory not in self._attached:
            raise FrameworkError(f"{target!r} was never attached to this AsyncSystem", target=target)
        self.sync_system.detach(self._attached[factory])

    def __repr__(self) -> str:
        return f"Async{self.sync_system!r}"

    async def verify(self) -> None:
        """Verify that the database has all declared tables and columns; see :meth:`.System.verify`."""
        await greenlet_spawn(self.sync_system.verify)

    async def check(self, record: RecordRef | None = None, **options: Any) -> CheckReport:
        """Compare stored values with recomputed ones; see :meth:`.System.check`.

        :param record: as for :meth:`.System.check`.
        :param options: ``property``, ``keys`` and ``progress``, as for :meth:`.System.check`.
        """
        return await greenlet_spawn(self.sync_system.check, record, **options)

    async def repair(self, record: RecordRef | None = None, **options: Any) -> CheckReport:
        """Correct the differences that :meth:`check` finds; see :meth:`.System.repair`.

        :param record: as for :meth:`.System.repair`.
        :param options: ``property``, ``keys`` and ``progress``, as for :meth:`.System.repair`.
        """
        return await greenlet_spawn(self.sync_system.repair, record, **options)

    async def recompute_due(self, *, now: datetime | None = None, batch: int = 100) -> int:
        """Compute the values whose next time has come; see :meth:`.System.recompute_due`."""
        return await greenlet_spawn(self.sync_system.recompute_due, now=now, batch=batch)

    def graph(self) -> ComputationGraph:
        """Return which attributes and rows feed which computed values; see :meth:`.System.graph`."""
        return self.sync_system.graph()
