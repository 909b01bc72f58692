"""Advice on arguments that are not session factories, or not of the required kind."""

from __future__ import annotations

import sys
from typing import Any

from sqlalchemy import URL, Connection, Engine, MetaData, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session, registry, scoped_session, sessionmaker


def wrong_factory(what: str, takes: str, given: object) -> TypeError:
    """Return the error for an argument that is not a session factory.

    :param what: the function that was called.
    :param takes: description of the valid arguments.
    :param given: the argument.
    """
    # a URL is not shown, because it may contain a password
    shown = "a URL" if isinstance(given, (str, URL)) else repr(given)
    hint = _advice(what, given)
    return TypeError(f"{what} takes {takes}, not {shown}" + (f"; {hint}" if hint else ""))


def _advice(what: str, given: object) -> str | None:
    is_async = what.startswith(("AsyncSystem", "AsyncController"))
    makes = "create_async_engine" if is_async else "create_engine"
    if isinstance(given, (str, URL)):
        name = _async_driver(given)
        if name and not is_async:
            return f"{name} is an asynchronous driver: AsyncSystem(create_async_engine(…))"
        return f"make an engine of it first: {makes}(…)"
    other = _other_kind(given, is_async=is_async)
    if other is not None:
        return other
    if isinstance(given, Engine) or _is(given, "AsyncEngine"):
        return f"an engine makes no sessions: give {'async_' if is_async else ''}sessionmaker(engine)"
    if isinstance(given, Session) or _is(given, "AsyncSession"):
        return "that is one session: give the factory that made it, or its class"
    if isinstance(given, Connection) or _is(given, "AsyncConnection"):
        return f"give {'async_' if is_async else ''}sessionmaker(connection), or the engine"
    if isinstance(given, (MetaData, registry)) or hasattr(given, "metadata"):
        return "models are given as base=…"
    return None


def _other_kind(given: object, *, is_async: bool) -> str | None:
    """Return the advice for a synchronous argument of an asynchronous function, or the reverse."""
    plain = isinstance(given, (Engine, sessionmaker, scoped_session, Session, Connection)) or (
        isinstance(given, type) and issubclass(given, Session)
    )
    names = ("AsyncEngine", "async_sessionmaker", "async_scoped_session", "AsyncSession", "AsyncConnection")
    if is_async and plain:
        return "it is synchronous: use System for it"
    if not is_async and any(_is(given, name) for name in names):
        return "it is asynchronous: use AsyncSystem for it"
    return None


def _is(given: Any, name: str) -> bool:
    """Whether ``given`` is an instance or subclass of a class of ``sqlalchemy.ext.asyncio``."""
    # not imported here, because it requires greenlet; if ``given`` is asynchronous it has been imported
    classes: Any = sys.modules.get("sqlalchemy.ext.asyncio")
    if classes is None:
        return False
    found = getattr(classes, name)
    return isinstance(given, found) or (isinstance(given, type) and issubclass(given, found))


def _async_driver(given: str | URL) -> str | None:
    try:
        name = make_url(given).drivername
    except ArgumentError:
        return None
    return name if name.rpartition("+")[2] in ("asyncpg", "aiosqlite", "asyncmy", "aiomysql") else None
