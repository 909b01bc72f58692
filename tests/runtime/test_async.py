"""Dispatch under asyncio: the same course, with coroutine functions and cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import sessionmaker

from interaqt_sa.definitions.event_source import EventSource, RecordMutationSideEffect
from interaqt_sa.errors import (
    ConstraintViolationError,
    NestedDispatchError,
    RequireSerializableRetry,
    TransactionCapabilityError,
)
from interaqt_sa.runtime.async_controller import AsyncController
from interaqt_sa.runtime.async_system import AsyncSystem
from tests.runtime.models import Base, Customer, Order, PlaceOrder
from tests.runtime.test_dispatch import ARGS, Refused, conflict

Make = Callable[..., Awaitable[AsyncController]]


async def test_what_an_asynchronous_system_takes(async_engine: AsyncEngine) -> None:
    for bind in (async_engine.sync_engine, sessionmaker(async_engine.sync_engine)):
        with pytest.raises(TypeError, match="AsyncSystem takes an AsyncEngine, an async_sessionmaker"):
            AsyncSystem(bind, base=Base)  # type: ignore[arg-type]


@pytest.fixture
def make(async_engine: AsyncEngine) -> Make:
    async def make(*event_sources: Any, **kwargs: Any) -> AsyncController:
        controller = AsyncController(AsyncSystem(async_engine, base=Base), event_sources=event_sources, **kwargs)
        await controller.setup(install=True)
        await controller.setup()
        async with controller.system.session_factory.begin() as session:
            session.add(Customer(id=1))
        return controller

    return make


def source(**hooks: Any) -> EventSource:
    async def event_data(ctx: Any, args: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"customer_id": args["customer"], "total": args["total"]}

    return EventSource("place", PlaceOrder, **{"map_event_data": event_data, **hooks})


async def stored(controller: AsyncController) -> tuple[int, ...]:
    async with controller.system.session_factory() as session:
        counts = [await session.scalar(select(func.count()).select_from(cls)) or 0 for cls in (PlaceOrder, Order)]
        customer = await session.get_one(Customer, 1)
        return *counts, customer.order_count, customer.spent


async def test_the_order_of_all_stages(make: Make) -> None:
    trace: list[str] = []

    def stage(name: str, answer: Any) -> Callable[..., Awaitable[Any]]:
        async def hook(ctx: Any, *_: Any) -> Any:
            assert isinstance(ctx.session, AsyncSession)
            orders = await ctx.session.scalar(select(func.count()).select_from(Order))
            trace.append(f"{name} {orders}")
            return answer

        return hook

    controller = await make(
        source(
            guard=stage("guard", None),
            resolve=stage("resolve", "data"),
            after_dispatch=stage("after_dispatch", {"a": 1}),
            post_commit=stage("post_commit", {"b": 2}),
        ),
        record_mutation_side_effects=[RecordMutationSideEffect("mail", Order, stage("mail", 7))],
    )
    result = await controller.dispatch("place", ARGS)
    assert trace == ["guard 0", "resolve 1", "after_dispatch 1", "post_commit 1", "mail 1"]
    assert (result.data, result.context, result.side_effects["mail"].result) == ("data", {"a": 1, "b": 2}, 7)
    assert await stored(controller) == (1, 1, 1, 5)


async def test_plain_functions_do_as_well(make: Make) -> None:
    controller = await make(source(map_event_data=lambda _, args: {"customer_id": 1, "total": args["total"]}))
    assert (await controller.call_interaction("place", {"total": 3})).ok
    assert await stored(controller) == (1, 1, 1, 3)


async def test_failures(make: Make) -> None:
    async def fail(*_: Any) -> None:
        raise Refused("no")

    controller = await make(source(after_dispatch=fail))
    result = await controller.dispatch("place", ARGS)
    assert isinstance(result.error, Refused)
    assert await stored(controller) == (0, 0, 0, 0)


async def test_faults_of_programs_are_raised(make: Make) -> None:
    async def fail(*_: Any) -> None:
        raise KeyError("k")

    controller = await make(source(resolve=fail))
    with pytest.raises(KeyError):
        await controller.dispatch("place", ARGS)
    assert await stored(controller) == (0, 0, 0, 0)


async def test_conflicts_and_promotion(make: Make) -> None:
    seen: list[tuple[int, str]] = []

    async def resolve(ctx: Any, args: Any) -> None:
        seen.append((ctx.attempt, ctx.isolation))
        if ctx.attempt == 1:
            raise conflict()
        if ctx.attempt == 2:
            raise RequireSerializableRetry("needs it")

    controller = await make(source(resolve=resolve))
    result = await controller.dispatch("place", ARGS)
    assert (result.ok, result.attempts, result.isolation) == (True, 3, "SERIALIZABLE")
    assert seen == [(1, "READ COMMITTED"), (2, "READ COMMITTED"), (3, "SERIALIZABLE")]
    assert await stored(controller) == (1, 1, 1, 5)


async def test_duplicates(make: Make) -> None:
    controller = await make(source())
    results = [await controller.dispatch("place", ARGS) for _ in range(2)]
    assert results[0].ok
    assert isinstance(results[1].error, ConstraintViolationError)
    assert (results[1].error.code, results[1].error.record) == ("ORDER_TWICE", "Order")
    assert await stored(controller) == (1, 1, 1, 5)


async def test_twins_at_the_same_time(make: Make) -> None:
    controller = await make(source())
    results = await asyncio.gather(*(controller.dispatch("place", ARGS) for _ in range(4)))
    assert sorted(result.ok for result in results) == [False, False, False, True]
    assert all(isinstance(result.error, ConstraintViolationError) for result in results if not result.ok)
    assert await stored(controller) == (1, 1, 1, 5)


async def test_many_at_the_same_time(make: Make) -> None:
    controller = await make(source())
    results = await asyncio.gather(*(controller.dispatch("place", {**ARGS, "total": n}) for n in range(20)))
    assert [result.error for result in results] == [None] * 20
    assert await stored(controller) == (20, 20, 20, sum(range(20)))


@pytest.mark.parametrize("where", ["guard", "resolve", "post_commit"])
async def test_cancellation(make: Make, where: str) -> None:
    reached = asyncio.Event()

    async def wait(*_: Any) -> None:
        reached.set()
        await asyncio.sleep(60)

    controller = await make(source(**{where: wait}))
    task = asyncio.create_task(controller.dispatch("place", ARGS))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await stored(controller) == ((1, 1, 1, 5) if where == "post_commit" else (0, 0, 0, 0))


async def test_a_dispatch_inside_a_dispatch(make: Make) -> None:
    async def nested(ctx: Any, *_: Any) -> Any:
        return await ctx.controller.dispatch("place", {**ARGS, "total": 6})

    controller = await make(source(guard=nested))
    assert isinstance((await controller.dispatch("place", ARGS)).error, NestedDispatchError)


async def test_a_task_that_outlives_its_dispatch_may_dispatch(make: Make) -> None:
    done = asyncio.Event()
    tasks: list[asyncio.Task[Any]] = []

    async def later(controller: AsyncController) -> Any:
        await done.wait()
        return await controller.dispatch("place", {**ARGS, "total": 6})

    async def resolve(ctx: Any, args: Any) -> None:
        if not tasks:
            tasks.append(asyncio.create_task(later(ctx.controller)))

    controller = await make(source(resolve=resolve))
    assert (await controller.dispatch("place", ARGS)).ok
    done.set()
    assert (await tasks[0]).ok


async def test_a_dispatch_after_a_dispatch(make: Make) -> None:
    async def post_commit(ctx: Any, args: Any, *_: Any) -> None:
        if args["total"] == 5:
            (await ctx.controller.dispatch("place", {**ARGS, "total": 6})).raise_for_error()

    controller = await make(source(post_commit=post_commit))
    result = await controller.dispatch("place", ARGS)
    assert result.side_effects == {}
    assert await stored(controller) == (2, 2, 2, 11)


async def test_a_commit_inside_a_dispatch(make: Make) -> None:
    async def commit(ctx: Any, *_: Any) -> None:
        await ctx.session.commit()

    controller = await make(source(resolve=commit))
    assert isinstance((await controller.dispatch("place", ARGS)).error, TransactionCapabilityError)
    assert await stored(controller) == (0, 0, 0, 0)


async def test_joined(make: Make) -> None:
    trace: list[str] = []

    async def post_commit(ctx: Any, *_: Any) -> None:
        trace.append(f"post_commit {await ctx.session.scalar(select(func.count()).select_from(Order))}")

    controller = await make(source(post_commit=post_commit))
    async with controller.system.session_factory() as session:
        assert (await controller.dispatch("place", ARGS, session=session)).ok
        duplicate = await controller.dispatch("place", ARGS, session=session)
        assert isinstance(duplicate.error, ConstraintViolationError)
        await session.rollback()
        assert trace == []
        assert (await controller.dispatch("place", ARGS, session=session)).ok
        await session.commit()
    assert trace == ["post_commit 1"]
    async with controller.system.session_factory() as session, session.begin():
        assert (await controller.dispatch("place", {**ARGS, "total": 6}, session=session)).ok
    assert trace == ["post_commit 1", "post_commit 2"]
    assert await stored(controller) == (2, 2, 2, 11)


async def test_a_sessionmaker_of_the_application(async_engine: AsyncEngine) -> None:
    sessions, others = (async_sessionmaker(async_engine, expire_on_commit=False) for _ in range(2))
    controller = AsyncController(AsyncSystem(sessions, base=Base), event_sources=[source()])
    await controller.setup(install=True)
    async with sessions.begin() as session:
        session.add(Customer(id=1))
        await session.flush()
        await controller.dispatch("place", ARGS, session=session)
    scoped = async_scoped_session(sessions, scopefunc=asyncio.current_task)
    (await controller.dispatch("place", {**ARGS, "total": 6}, session=scoped)).raise_for_error()
    await scoped.commit()
    await scoped.remove()
    assert await stored(controller) == (2, 2, 2, 11)
    assert sessions().sync_session.__class__ is not others().sync_session.__class__
    async with sessions() as session:
        with pytest.raises(TypeError, match="takes an AsyncSession"):
            await controller.dispatch("place", ARGS, session=session.sync_session)  # type: ignore[arg-type]
    assert (await controller.system.check()).ok
    assert (await controller.system.repair()).ok
    await controller.teardown()
