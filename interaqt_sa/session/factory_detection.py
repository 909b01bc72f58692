"""Detection of session factories, session classes and engines, synchronous and asynchronous."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from ..errors import FrameworkError


class SessionFactoryError(FrameworkError, TypeError):
    """An argument is not a session factory, or not of the kind that the other arguments require.

    :ivar given: the argument.
    """

    given: object


@dataclass(frozen=True, slots=True)
class SessionFactory:
    """A factory of sessions for single transactions.

    :ivar make: returns a new session.
    :ivar is_async: whether it is an ``AsyncSession``.
    """

    make: Callable[[], Any]
    is_async: bool

    @classmethod
    def of(cls, target: object, *, what: str) -> SessionFactory:
        """Return the session factory of ``target``.

        :param target: a session factory, a session class or an engine.
        :param what: the function that was called, for the error.
        :raises SessionFactoryError: if ``target`` is none of these.
        """
        known: Any = target  # pyright would infer unknown type arguments
        if isinstance(target, scoped_session):
            return cls(known.session_factory, False)
        if isinstance(target, sessionmaker):
            return cls(known, False)
        if isinstance(target, Engine):
            return cls(partial(Session, target), False)
        if isinstance(target, type) and issubclass(target, Session):
            return cls(known, False)
        # not imported here, because it requires greenlet; if target is asynchronous it has been imported
        asynchronous: Any = sys.modules.get("sqlalchemy.ext.asyncio")
        if asynchronous is not None:
            if isinstance(target, asynchronous.async_scoped_session):
                return cls(known.session_factory, True)
            if isinstance(target, asynchronous.async_sessionmaker):
                return cls(known, True)
            if isinstance(target, asynchronous.AsyncEngine):
                return cls(partial(asynchronous.AsyncSession, target), True)
            if isinstance(target, type) and issubclass(target, asynchronous.AsyncSession):
                return cls(known, True)
        raise SessionFactoryError(
            f"{what} takes a sessionmaker, a scoped_session, a Session class or an Engine, or the asynchronous one of "
            f"these, not {_described(target)}: it needs a fresh session for each attempt",
            given=target,
        )

    def check_callback(self, fn: Callable[..., Any], *, what: str) -> None:
        """Check that ``fn`` can run in the sessions of this factory.

        :raises SessionFactoryError: if it is a coroutine function for synchronous sessions, a generator function, or
            cannot be called.
        """
        if not callable(fn):
            raise SessionFactoryError(f"{what} takes a function of the session, not {fn!r}", given=fn)
        if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
            raise SessionFactoryError(
                f"{what} takes a function that returns when it is done, and {_name(fn)} is a generator", given=fn
            )
        if not self.is_async and is_coroutine_function(fn):
            raise SessionFactoryError(
                f"{what} was given the coroutine function {_name(fn)} and a factory of synchronous sessions; give it "
                "an async_sessionmaker, or a plain function",
                given=fn,
            )


def is_coroutine_function(fn: Any) -> bool:
    """Whether ``fn`` is a coroutine function, or an object with a coroutine function as its ``__call__``."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def not_awaitable(fn: Any, *, what: str) -> SessionFactoryError:
    """Return the error for a plain function with asynchronous sessions."""
    return SessionFactoryError(
        f"{what} was given a factory of asynchronous sessions, and {_name(fn)} returned nothing to await; make it a "
        "coroutine function (async def)",
        given=fn,
    )


def _described(target: Any) -> str:
    if isinstance(target, Session) or type(target).__name__ == "AsyncSession":
        return f"the session {target!r}"
    return repr(target)


def _name(fn: Any) -> str:
    return str(getattr(fn, "__qualname__", None) or repr(fn))
