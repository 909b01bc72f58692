"""Everything that makes sessions runs a retried transaction; everything else is refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from interaqt_sa import FrameworkError, run_with_transaction_retry
from interaqt_sa.session.factory_detection import SessionFactoryError


def bound_class(engine: Engine) -> type[Session]:
    class Bound(Session):
        def __init__(self, **options: Any) -> None:
            super().__init__(engine, **options)

    return Bound


def bound_async_class(engine: AsyncEngine) -> type[AsyncSession]:
    class Bound(AsyncSession):
        def __init__(self, **options: Any) -> None:
            super().__init__(engine, **options)

    return Bound


SYNC: dict[str, Callable[[Engine], Any]] = {
    "sessionmaker": sessionmaker,
    "scoped": lambda engine: scoped_session(sessionmaker(engine)),
    "scoped over a function": lambda engine: scoped_session(lambda: Session(engine)),  # type: ignore[arg-type]
    "class": bound_class,
    "engine": lambda engine: engine,
    "engine with options": lambda engine: engine.execution_options(mine=1),
}
ASYNC: dict[str, Callable[[AsyncEngine], Any]] = {
    "async_sessionmaker": async_sessionmaker,
    "scoped": lambda engine: async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 1),
    "over a sessionmaker": lambda engine: async_sessionmaker(engine, sync_session_class=sessionmaker()),
    "class": bound_async_class,
    "engine": lambda engine: engine,
}


@pytest.mark.parametrize("kind", SYNC)
def test_synchronous_factories(kind: str, engine: Engine) -> None:
    seen: list[Session] = []

    def work(session: Session) -> Any:
        seen.append(session)
        return session.scalar(text("SELECT 42"))

    factory = SYNC[kind](engine)
    assert [run_with_transaction_retry(factory, work) for _ in range(2)] == [42, 42]
    assert seen[0] is not seen[1]
    assert all(isinstance(session, Session) and not session.in_transaction() for session in seen)


def test_a_scoped_session_keeps_the_one_of_its_registry(engine: Engine) -> None:
    scoped = scoped_session(sessionmaker(engine))
    own = scoped()
    run_with_transaction_retry(scoped, lambda session: session.scalar(text("SELECT 1")))
    assert scoped() is own
    assert not own.in_transaction()


@pytest.mark.parametrize("kind", ASYNC)
async def test_asynchronous_factories(kind: str, async_engine: AsyncEngine) -> None:
    async def work(session: AsyncSession) -> Any:
        assert isinstance(session, AsyncSession)
        return await session.scalar(text("SELECT 42"))

    assert await run_with_transaction_retry(ASYNC[kind](async_engine), work) == 42
    assert await run_with_transaction_retry(ASYNC[kind](async_engine), partial(work)) == 42


@pytest.mark.parametrize(
    "make",
    [
        lambda: None,
        lambda: "sqlite://",
        lambda: Session(create_engine("sqlite://")),
        lambda: AsyncSession(create_async_engine("sqlite+aiosqlite://")),
        lambda: create_engine("sqlite://").connect(),
        lambda: lambda: Session(create_engine("sqlite://")),
        lambda: object,
        lambda: scoped_session,
    ],
    ids=["None", "text", "session", "async session", "connection", "function", "class", "factory class"],
)
def test_what_makes_no_sessions_is_refused(make: Callable[[], Any]) -> None:
    ran: list[object] = []
    given = make()
    with pytest.raises(SessionFactoryError, match=r"run_with_transaction_retry\(\) takes a sessionmaker") as caught:
        run_with_transaction_retry(given, ran.append)
    assert isinstance(caught.value, FrameworkError)
    assert isinstance(caught.value, TypeError)
    assert caught.value.given is given
    assert not ran
    if hasattr(given, "close") and not isinstance(given, type):
        closing = given.close()
        if closing is not None:
            closing.close()


def test_functions_that_do_not_fit_are_refused(engine: Engine) -> None:
    async def coroutine(session: Any) -> None: ...

    class Callback:
        async def __call__(self, session: Any) -> None: ...

    def generator(session: Any) -> Any:
        yield 1

    for fn in (coroutine, Callback(), generator, None):
        with pytest.raises(SessionFactoryError, match=r"run_with_transaction_retry\(\)") as caught:
            run_with_transaction_retry(sessionmaker(engine), fn)  # type: ignore[type-var, call-overload]
        assert isinstance(caught.value, FrameworkError)
        assert isinstance(caught.value, TypeError)
        assert caught.value.given is fn


async def test_a_plain_function_in_asynchronous_sessions_is_refused(async_engine: AsyncEngine) -> None:
    with pytest.raises(SessionFactoryError, match="async def"):
        await run_with_transaction_retry(async_sessionmaker(async_engine), lambda _: 1)  # type: ignore[arg-type, return-value]
