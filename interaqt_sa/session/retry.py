"""Retry transactions after serialization failures and deadlocks."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from sqlalchemy import Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.util import await_only, greenlet_spawn
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_chain, wait_random

from ..definitions.validation import refuse_awaitable
from ..dialects import dialect_class
from ..dialects.database_errors import (
    is_require_serializable_retry,
    is_retryable_transaction_error,
    required_tables,
)
from ..errors import TransactionRetryExhaustedError
from .commit_outcome import commit
from .factory_detection import SessionFactory, not_awaitable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker

S = TypeVar("S", bound=Session)
A = TypeVar("A", bound="AsyncSession")
R = TypeVar("R")

READ_COMMITTED = "READ COMMITTED"
SERIALIZABLE = "SERIALIZABLE"
MAX_ATTEMPTS = 5

#: The second half of each delay is random, so that two transactions do not conflict again.
_BACK_OFF = wait_chain(*(wait_random(base, 2 * base) for base in (0.010, 0.025, 0.060, 0.150, 0.350)))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a transaction.

    :ivar number: its number, counted from 1.
    :ivar serializable: whether it must run at SERIALIZABLE.
    :ivar tables: the tables that former attempts required to lock.
    """

    number: int
    serializable: bool
    tables: frozenset[Any] = frozenset()


def run_attempts(
    attempt: Callable[[Attempt], R],
    *,
    name: str,
    max_attempts: int = MAX_ATTEMPTS,
    serializable: bool = False,
    tables: frozenset[Any] = frozenset(),
    sleep: Callable[[float], None] = time.sleep,
) -> R:
    """Call ``attempt``, which opens a session and commits, until it succeeds.

    After a conflict it is retried with increasing, jittered delays. After :class:`.RequireSerializableRetry` it is
    retried at once, and all further attempts run at SERIALIZABLE and lock its tables.

    :param name: name of the transaction, for the error.
    :param max_attempts: maximum number of attempts.
    :param serializable: whether the first attempt runs at SERIALIZABLE.
    :param tables: the tables that the first attempt locks.
    :param sleep: waits for a number of seconds.
    :raises TransactionRetryExhaustedError: if all attempts fail with a conflict; the last conflict is the cause.
    """
    number = 0
    behind: Exception | None = None

    def once() -> R:
        nonlocal number
        number += 1
        return attempt(Attempt(number, serializable, tables))

    def is_repeated(error: BaseException) -> bool:
        if is_retryable_transaction_error(error):
            return True
        return is_require_serializable_retry(error) and not (serializable and tables.issuperset(required_tables(error)))

    try:
        return once()
    except Exception as error:
        if not is_repeated(error):
            raise
        behind = error

    # reached only after a conflict: tenacity costs as much as a statement

    def again() -> R:
        nonlocal behind
        if behind is None:
            return once()
        error, behind = behind, None
        raise error

    def promote(state: RetryCallState) -> None:
        nonlocal serializable, tables
        serializable = serializable or is_require_serializable_retry(_error(state))
        tables |= required_tables(_error(state))

    def exhausted(state: RetryCallState) -> NoReturn:
        raise TransactionRetryExhaustedError(
            f"{name}: each of {number} attempts met a conflict with another transaction; see the cause of this error",
            attempts=number,
            isolation=SERIALIZABLE if serializable else None,
        ) from _error(state)

    return Retrying(
        retry=retry_if_exception(is_repeated),
        stop=stop_after_attempt(max_attempts),
        wait=lambda state: 0.0 if is_require_serializable_retry(_error(state)) else _BACK_OFF(state),
        before_sleep=promote,
        sleep=sleep,
        retry_error_callback=exhausted,
    )(again)


def _error(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome is not None else None
    assert error is not None
    return error


def async_sleep(seconds: float) -> None:
    """Sleep inside :func:`sqlalchemy.util.greenlet_spawn`, without blocking the event loop."""
    await_only(asyncio.sleep(seconds))


def set_isolation(session: Session, isolation: str, bind_arguments: Mapping[str, Any] | None = None) -> None:
    """Set the isolation level of the transaction that ``session`` has just begun, before any statement.

    :param bind_arguments: as for :meth:`sqlalchemy.orm.Session.connection`.
    """
    if not dialect_class(session.get_bind(**(bind_arguments or {})).dialect).has_isolation_levels:
        return  # setting a level would reset the connection configured by System
    session.connection(
        bind_arguments=dict(bind_arguments) if bind_arguments else None,
        execution_options={"isolation_level": isolation},
    )


@overload
def run_with_transaction_retry(
    session_factory: async_sessionmaker[A] | async_scoped_session[A] | type[A],
    fn: Callable[[A], Awaitable[R]],
    *,
    max_attempts: int = ...,
) -> Awaitable[R]: ...
@overload
def run_with_transaction_retry(
    session_factory: AsyncEngine, fn: Callable[[AsyncSession], Awaitable[R]], *, max_attempts: int = ...
) -> Awaitable[R]: ...
@overload
def run_with_transaction_retry(
    session_factory: sessionmaker[S] | scoped_session[S] | type[S], fn: Callable[[S], R], *, max_attempts: int = ...
) -> R: ...
@overload
def run_with_transaction_retry(
    session_factory: Engine, fn: Callable[[Session], R], *, max_attempts: int = ...
) -> R: ...
def run_with_transaction_retry(
    session_factory: Any, fn: Callable[[Any], Any], *, max_attempts: int = MAX_ATTEMPTS
) -> Any:
    """Run ``fn(session)`` in a transaction of its own, and retry it after serialization failures and deadlocks.

    Each attempt has a new session and commits it, because many conflicts are detected only at COMMIT. So ``fn`` must
    not commit, must read the rows that it changes in each attempt, and must not have effects outside the database.
    Delays between attempts grow, from 10 to at most 700 milliseconds.

    :param session_factory: a ``sessionmaker``, a ``scoped_session``, a ``Session`` class or an ``Engine``; or an
        ``async_sessionmaker``, ``async_scoped_session``, ``AsyncSession`` class or ``AsyncEngine``: then ``fn`` is a
        coroutine function and the result is awaitable. Of a scoped factory, sessions outside its registry are used.
        The sessions of an engine or a class are followed by a system only if their class is attached to it.
    :param fn: the function that is run, with the session as its only argument.
    :param max_attempts: maximum number of attempts.
    :return: the return value of ``fn`` in the committed attempt.
    :raises SessionFactoryError: a ``FrameworkError`` and ``TypeError``, if ``session_factory`` is anything else, such
        as a session, or ``fn`` does not match it, such as a coroutine function for synchronous sessions.
    :raises TransactionRetryExhaustedError: if all attempts fail with a conflict; the last conflict is the cause.
    :raises TransactionOutcomeUnknownError: if the connection is lost before COMMIT is answered; it is not retried.

    ::

        n = run_with_transaction_retry(SessionLocal, lambda session: close_orders(session))
    """
    factory = SessionFactory.of(session_factory, what="run_with_transaction_retry()")
    factory.check_callback(fn, what="run_with_transaction_retry()")
    name = f"run_with_transaction_retry({getattr(fn, '__name__', fn)!s})"

    def run(attempt: Attempt) -> Any:
        return _run(factory.make(), attempt, name, lambda session: refuse_awaitable(fn(session), name))

    def run_async(attempt: Attempt) -> Any:
        session: AsyncSession = factory.make()

        def awaited(_: Session) -> Any:
            value = fn(session)
            if not inspect.isawaitable(value):
                raise not_awaitable(fn, what="run_with_transaction_retry()")
            return await_only(value)

        return _run(session.sync_session, attempt, name, awaited)

    if factory.is_async:
        return greenlet_spawn(run_attempts, run_async, name=name, max_attempts=max_attempts, sleep=async_sleep)
    return run_attempts(run, name=name, max_attempts=max_attempts)


def _run(session: Session, attempt: Attempt, name: str, fn: Callable[[Session], R]) -> R:
    with session:
        if not session.in_transaction():
            session.begin()
        if attempt.serializable:
            set_isolation(session, SERIALIZABLE)
        result = fn(session)
        commit(session, name)
        return result
