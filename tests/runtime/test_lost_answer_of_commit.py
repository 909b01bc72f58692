"""When the answer to COMMIT is lost the outcome is unknown: never "failed", never repeated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import ForeignKey, create_engine, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from interaqt_sa.session.commit_outcome import is_answer_lost
from interaqt_sa.session.retry import run_attempts
from tests.session.test_database_errors import FakeDriverError
from tests.support.lossy_proxy import Loss, LossyProxy
from tests.support.urls import with_driver

pytestmark = pytest.mark.postgres
LOSSES: tuple[Loss, ...] = ("answer", "commit")


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    entries: Mapped[list[Entry]] = relationship()
    balance: Mapped[int] = iq.computed(iq.Summation("entries", "amount"))


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", deferrable=True, initially="DEFERRED"), index=True)
    amount: Mapped[int]


deposit = iq.EventSource("deposit", Entry, map_event_data=lambda _, args: args)
ARGS = {"account_id": 1, "amount": 5}


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[LossyProxy]:
    engine = create_engine(with_driver(postgres_url, "psycopg"))
    Base.metadata.create_all(engine)
    with iq.System(engine, base=Base).session_factory.begin() as session:
        session.add(Account(id=1))
    engine.dispose()
    proxy = LossyProxy(postgres_url)
    yield proxy
    proxy.close()


@pytest.fixture
def factory(proxy: LossyProxy) -> Iterator[sessionmaker[Session]]:
    engine = create_engine(with_driver(proxy.url.render_as_string(hide_password=False), "psycopg"))
    yield sessionmaker(engine)
    engine.dispose()


@pytest.fixture
async def async_factory(proxy: LossyProxy) -> Any:
    engine = create_async_engine(with_driver(proxy.url.render_as_string(hide_password=False), "asyncpg"))
    yield async_sessionmaker(engine)
    await engine.dispose()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("raises", [False, True])
def test_a_dispatch(proxy: LossyProxy, factory: sessionmaker[Session], loss: Loss, raises: bool) -> None:
    followed: list[str] = []
    source = iq.EventSource(
        "deposit",
        Entry,
        map_event_data=lambda _, args: args,
        post_commit=lambda *_: followed.append("post_commit"),
    )
    effect = iq.RecordMutationSideEffect("mail", Entry, lambda *_: followed.append("mail"))
    system = iq.System(factory, base=Base)
    controller = iq.Controller(
        system, event_sources=[source], record_mutation_side_effects=[effect], raise_errors=raises
    )
    controller.setup()
    proxy.lose = loss
    if raises:
        with pytest.raises(iq.TransactionOutcomeUnknownError):
            controller.dispatch(source, ARGS)
    else:
        result = controller.dispatch(source, ARGS)
        assert (result.outcome, result.ok, bool(result), result.attempts) == ("unknown", False, False, 1)
        assert isinstance(result.error, iq.TransactionOutcomeUnknownError)
        assert "may be stored or not" in str(result.error)
        assert "'deposit'" in str(result.error)
        assert isinstance(result.error.__cause__, OperationalError)
        assert not iq.is_retryable_transaction_error(result.error)
        assert "unknown" in repr(result)
        with pytest.raises(iq.TransactionOutcomeUnknownError):
            _ = result.data
    assert (proxy.lost, followed) == (1, [])
    with factory() as session:
        assert session.scalar(select(func.count()).select_from(Entry)) == (1 if loss == "answer" else 0)
    assert system.check()
    assert controller.dispatch(source, ARGS).outcome == "applied"
    assert followed == ["post_commit", "mail"]


@pytest.mark.parametrize("loss", LOSSES)
async def test_an_asynchronous_dispatch(
    proxy: LossyProxy, async_factory: async_sessionmaker[AsyncSession], loss: Loss
) -> None:
    system = iq.AsyncSystem(async_factory, base=Base)
    controller = iq.AsyncController(system, event_sources=[deposit])
    await controller.setup()
    proxy.lose = loss
    result = await controller.dispatch(deposit, ARGS)
    assert (result.outcome, result.attempts) == ("unknown", 1)
    assert isinstance(result.error, iq.TransactionOutcomeUnknownError)
    assert (await controller.dispatch(deposit, ARGS)).outcome == "applied"
    async with async_factory() as session:
        stored = 2 if loss == "answer" else 1
        assert await session.scalar(select(func.count()).select_from(Entry)) == stored
    assert await system.check()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_retried_transaction_and_storage(proxy: LossyProxy, factory: sessionmaker[Session], loss: Loss) -> None:
    system = iq.System(factory, base=Base)
    tries: list[int] = []

    def work(session: Session) -> None:
        tries.append(1)
        session.add(Entry(account_id=1, amount=1))

    for run in (
        lambda: iq.run_with_transaction_retry(factory, work),
        lambda: system.storage.create("Entry", ARGS),
        lambda: system.storage.run_in_transaction(lambda storage: storage.create("Entry", ARGS)),
    ):
        proxy.lose = loss
        with pytest.raises(iq.TransactionOutcomeUnknownError):
            run()
    assert (tries, proxy.lost) == ([1], 3)
    assert system.check()


@pytest.mark.parametrize("loss", LOSSES)
async def test_an_asynchronous_retried_transaction(
    proxy: LossyProxy, async_factory: async_sessionmaker[AsyncSession], loss: Loss
) -> None:
    iq.AsyncSystem(async_factory, base=Base)
    tries: list[int] = []

    async def work(session: AsyncSession) -> None:
        tries.append(1)
        session.add(Entry(account_id=1, amount=1))

    proxy.lose = loss
    with pytest.raises(iq.TransactionOutcomeUnknownError):
        await iq.run_with_transaction_retry(async_factory, work)
    assert (tries, proxy.lost) == ([1], 1)


def test_what_the_database_answered_is_failed(factory: sessionmaker[Session]) -> None:
    controller = iq.Controller(iq.System(factory, base=Base), event_sources=[deposit])
    result = controller.dispatch(deposit, {"account_id": 77, "amount": 5})  # found by the COMMIT: the key is deferred
    assert result.outcome == "failed"
    assert iq.find_constraint_violation_error(result.error) is not None


def test_a_connection_that_is_lost_before_the_commit_is_failed(factory: sessionmaker[Session]) -> None:
    def die(ctx: iq.DispatchContext, args: iq.Args) -> None:
        ctx.session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    source = iq.EventSource("die", Entry, map_event_data=lambda _, args: args, resolve=die)
    result = iq.Controller(iq.System(factory, base=Base), event_sources=[source]).dispatch(source, ARGS)
    assert result.outcome == "failed"


def test_another_transaction_of_unknown_outcome_is_no_outcome_of_the_dispatch(
    proxy: LossyProxy, factory: sessionmaker[Session]
) -> None:
    def other(ctx: iq.DispatchContext, args: iq.Args) -> None:
        proxy.lose = "answer"
        iq.run_with_transaction_retry(sessionmaker(factory.kw["bind"]), lambda s: s.execute(text("SELECT 1")))

    source = iq.EventSource("other", Entry, map_event_data=lambda _, args: args, resolve=other)
    result = iq.Controller(iq.System(factory, base=Base), event_sources=[source]).dispatch(source, ARGS)
    assert (result.outcome, result.attempts) == ("failed", 1)
    assert isinstance(result.error, iq.TransactionOutcomeUnknownError)


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (OperationalError(None, None, FakeDriverError("40001")), False),
        (OperationalError(None, None, FakeDriverError("23503")), False),
        (OperationalError(None, None, FakeDriverError("08006")), True),
        (OperationalError(None, None, FakeDriverError("57P01")), True),
        (OperationalError(None, None, FakeDriverError("40003")), True),
        (OperationalError("UPDATE t", {}, FakeDriverError("08006")), False),
        (OperationalError(None, None, Exception("gone"), connection_invalidated=True), True),
        (OperationalError(None, None, Exception("disk full")), False),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (ValueError(), False),
    ],
)
def test_which_errors_leave_it_open(error: Exception, is_lost: bool) -> None:
    assert is_answer_lost(error) is is_lost


def test_an_unknown_outcome_is_not_repeated_whatever_its_cause() -> None:
    attempts: list[int] = []

    def once(attempt: Any) -> None:
        attempts.append(attempt.number)
        raise iq.TransactionOutcomeUnknownError("lost") from OperationalError("x", {}, FakeDriverError("40001"))

    with pytest.raises(iq.TransactionOutcomeUnknownError):
        run_attempts(once, name="test", sleep=lambda _: None)
    assert attempts == [1]
