"""The system of asynchronous programs: the synchronous one, inside greenlets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast
from weakref import WeakKeyDictionary

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Session, registry, sessionmaker
from sqlalchemy.util import greenlet_spawn

from ..definitions.computation import RecordRef
from ..engine.check import CheckReport
from ..schema.schema import Schema
from ..storage import AsyncStorage
from .system import Isolation, System

if TYPE_CHECKING:
    # at run time only where it is used: it loads greenlet, which programs without asyncio need not have
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker


class AsyncSystem:
    """What keeps the derived data of an asynchronous program true.

    :param bind: an ``AsyncEngine``, or an ``async_sessionmaker``, which is attached at once: the sessions that it
        makes from now on take part.
    :ivar session_factory: makes sessions that take part.
    :ivar storage: records by name.

    See :class:`.System` for the other parameters.

    ::

        Sessions = async_sessionmaker(create_async_engine("postgresql+asyncpg://…"), expire_on_commit=False)
        system = AsyncSystem(Sessions, base=Base)
    """

    def __init__(
        self,
        bind: AsyncEngine | async_sessionmaker[Any],
        *,
        base: type[DeclarativeBase] | registry | MetaData | Schema | None = None,
        unmanaged_dml: Literal["raise", "warn", "allow"] = "raise",
        configure_sqlite: bool = True,
        isolation: Isolation = "READ COMMITTED",
    ) -> None:
        self.session_factory: async_sessionmaker[AsyncSession] = _factory_of(bind)
        factory = _sync_factory(self.session_factory)
        self._attached = WeakKeyDictionary({self.session_factory: factory})
        self._sync_system = System(
            factory,
            base=base,
            unmanaged_dml=unmanaged_dml,
            configure_sqlite=configure_sqlite,
            isolation=isolation,
        )
        self.storage = AsyncStorage(self.session_factory, self._sync_system.storage)

    @property
    def sync_system(self) -> System:
        """The :class:`.System` at work; its methods need a greenlet (``greenlet_spawn``, ``run_sync``)."""
        # the application may have given its factory an engine since
        self._sync_system.session_factory.configure(**_sync_options(self.session_factory))
        return self._sync_system

    @property
    def schema(self) -> Schema:
        """What is declared; see :attr:`.System.schema`."""
        return self.sync_system.schema

    def attach(self, target: async_sessionmaker[Any]) -> None:
        """Keep computed values true in the sessions of ``target`` too; calling it again changes nothing."""
        if target not in self._attached:
            self._attached[target] = _sync_factory(target)
        self.sync_system.attach(self._attached[target])

    def detach(self, target: async_sessionmaker[Any]) -> None:
        """Undo :meth:`attach`."""
        if target in self._attached:
            self.sync_system.detach(self._attached[target])

    def __repr__(self) -> str:
        return f"Async{self.sync_system!r}"

    async def verify(self) -> None:
        """Compare the database with what is declared; see :meth:`.System.verify`."""
        await greenlet_spawn(self.sync_system.verify)

    async def check(self, record: RecordRef | None = None, **options: Any) -> CheckReport:
        """Compare what is stored with what it is computed from; see :meth:`.System.check`."""
        return await greenlet_spawn(self.sync_system.check, record, **options)

    async def repair(self, record: RecordRef | None = None, **options: Any) -> CheckReport:
        """Put right what :meth:`check` finds; see :meth:`.System.repair`."""
        return await greenlet_spawn(self.sync_system.repair, record, **options)


def _factory_of(bind: Any) -> async_sessionmaker[AsyncSession]:
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

    if isinstance(bind, AsyncEngine):
        return async_sessionmaker(bind, expire_on_commit=False)
    if not isinstance(bind, async_sessionmaker):
        raise TypeError(f"AsyncSystem takes an AsyncEngine or an async_sessionmaker, not {bind!r}")
    return cast("async_sessionmaker[AsyncSession]", bind)


def _sync_factory(factory: async_sessionmaker[Any]) -> sessionmaker[Session]:
    """Return a factory of the sessions at work, whose class ``factory`` uses from now on.

    The class is one of its own, so that other factories in the program are left alone.
    """
    cls = factory.kw.get("sync_session_class") or factory.class_.sync_session_class
    made = sessionmaker(class_=cls, **_sync_options(factory))
    factory.configure(sync_session_class=made.class_)
    return made


def _sync_options(factory: async_sessionmaker[Any]) -> dict[str, Any]:
    options = {name: value for name, value in factory.kw.items() if name != "sync_session_class"}
    options["bind"] = _sync_bind(options.get("bind"))
    if options.get("binds"):
        options["binds"] = {key: _sync_bind(bind) for key, bind in options["binds"].items()}
    return options


def _sync_bind(bind: Any) -> Any:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    if isinstance(bind, AsyncEngine):
        return bind.sync_engine
    return bind.sync_connection if isinstance(bind, AsyncConnection) else bind
