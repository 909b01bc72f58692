"""Synchronous session factories inside asynchronous ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard, cast

from sqlalchemy.orm import Session, sessionmaker

from ..session.factory_advice import wrong_factory

if TYPE_CHECKING:
    # imported inside functions at run time, because it requires greenlet
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker


def is_session_class(target: Any) -> TypeGuard[type[AsyncSession]]:
    """Whether ``target`` is an ``AsyncSession`` class."""
    from sqlalchemy.ext.asyncio import AsyncSession

    return isinstance(target, type) and issubclass(target, AsyncSession)


def maker_of(target: Any) -> async_sessionmaker[AsyncSession] | None:
    """Return ``target`` if it is an ``async_sessionmaker``, or that of an ``async_scoped_session``; else ``None``."""
    from sqlalchemy.ext.asyncio import async_scoped_session, async_sessionmaker

    known: Any = target  # pyright would infer unknown type arguments
    found: Any = known.session_factory if isinstance(target, async_scoped_session) else known
    return cast("async_sessionmaker[AsyncSession]", found) if isinstance(found, async_sessionmaker) else None


def factory_of(bind: Any) -> async_sessionmaker[AsyncSession]:
    """Return the ``async_sessionmaker`` of ``bind``, creating one for an engine or a session class.

    :raises TypeError: if ``bind`` is anything else.
    """
    from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

    if isinstance(bind, AsyncEngine):
        return async_sessionmaker(bind, expire_on_commit=False)
    if is_session_class(bind):
        return async_sessionmaker(class_=bind)
    factory = maker_of(bind)
    if factory is None:
        takes = "an AsyncEngine, an async_sessionmaker, an async_scoped_session or an AsyncSession class"
        raise wrong_factory("AsyncSystem", takes, bind)
    return factory


def sync_factory(factory: async_sessionmaker[Any]) -> sessionmaker[Session]:
    """Return a factory of synchronous sessions, and set their class as the ``sync_session_class`` of ``factory``.

    The class is new, so that other factories of the program are not affected.
    """
    given: Any = factory.kw.get("sync_session_class") or factory.class_.sync_session_class
    options = getattr(given, "kw", None)
    if options is not None:  # a sessionmaker, which SQLAlchemy documents as a target for listeners
        own: sessionmaker[Session] = sessionmaker(class_=given.class_, **options)
        factory.configure(sync_session_class=own)
        return sessionmaker(class_=own.class_, **{**own.kw, **sync_options(factory)})
    cls: type[Session] = given
    made = sessionmaker(class_=cls, **sync_options(factory))
    factory.configure(sync_session_class=made.class_)
    return made


def sync_options(factory: async_sessionmaker[Any]) -> dict[str, Any]:
    """Return the options of ``factory`` for synchronous sessions."""
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
