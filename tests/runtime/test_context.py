"""What the functions of a dispatch get as ``ctx``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from interaqt_sa.definitions.event_source import RecordMutationSideEffect
from interaqt_sa.errors import FrameworkError
from interaqt_sa.runtime.async_controller import AsyncController
from interaqt_sa.runtime.async_system import AsyncSystem
from interaqt_sa.runtime.controller import Controller
from interaqt_sa.runtime.current_dispatch import running_session
from tests.runtime.models import Base, Customer, PlaceOrder
from tests.runtime.test_dispatch import ARGS, Refused, source, stored

Make = Callable[..., Controller]


def test_the_storage_is_a_part_of_the_dispatch(make: Make) -> None:
    def guard(ctx: Any, args: Any) -> None:
        assert running_session() is ctx.session
        assert ctx.storage.find_one("Customer", {"id": args["customer"]}) == {"id": 1}
        ctx.storage.create("Customer", {"id": 2})
        ctx.controller.system.storage.create("Customer", {"id": 3})  # joins by itself

    def after_dispatch(ctx: Any, *_: Any) -> None:
        assert {row["id"] for row in ctx.storage.find("Customer")} == {1, 2, 3}
        raise Refused("no")

    controller = make(source(guard=guard, after_dispatch=after_dispatch))
    assert isinstance(controller.dispatch("place", ARGS).error, Refused)
    assert controller.system.storage.find("Customer") == [{"id": 1}]
    assert running_session() is None


def test_the_storage_after_the_commit(make: Make) -> None:
    def content(ctx: Any, event: Any) -> None:
        assert not ctx.is_running
        ctx.storage.create("Customer", {"id": 2})

    controller = make(source(), record_mutation_side_effects=[RecordMutationSideEffect("more", PlaceOrder, content)])
    assert controller.dispatch("place", ARGS).side_effects["more"].ok
    assert len(controller.system.storage.find("Customer")) == 2


def test_what_it_knows(make: Make) -> None:
    seen: list[Any] = []
    place = source(resolve=lambda ctx, _: seen.append((ctx.controller, ctx.event_source, ctx.attempt, ctx.isolation)))
    controller = make(place)
    controller.dispatch(place, ARGS)
    assert seen == [(controller, place, 1, "READ COMMITTED")]


def test_many_threads(make: Make) -> None:
    controller = make(source())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: controller.dispatch("place", {**ARGS, "total": n}), range(40)))
    assert [result.error for result in results] == [None] * 40
    assert stored(controller) == (40, 40, 40, sum(range(40)))
    with controller.system.session_factory() as session:
        ids = session.scalars(select(PlaceOrder.id)).all()
    assert len(set(ids)) == 40


async def test_async(async_engine: AsyncEngine) -> None:
    async def guard(ctx: Any, args: Any) -> None:
        assert running_session() is ctx.session.sync_session
        assert await ctx.storage.find_one("Customer", {"id": 1}) == {"id": 1}
        await ctx.storage.create("Customer", {"id": 2})
        await ctx.controller.system.storage.create("Customer", {"id": 3})

    async def resolve(ctx: Any, args: Any) -> None:
        if args["total"] == 5:
            raise Refused("no")

    async def post_commit(ctx: Any, *_: Any) -> None:
        await ctx.storage.create("Customer", {"id": 4})

    place = source(guard=guard, resolve=resolve, post_commit=post_commit)
    controller = AsyncController(AsyncSystem(async_engine, base=Base), event_sources=[place])
    await controller.setup(install=True)
    storage = controller.system.storage
    await storage.create("Customer", {"id": 1})
    assert isinstance((await controller.dispatch("place", ARGS)).error, Refused)
    assert len(await storage.find("Customer")) == 1
    assert (await controller.dispatch("place", {**ARGS, "total": 6})).side_effects == {}
    assert len(await storage.find("Customer")) == 4


async def test_attach(async_engine: AsyncEngine) -> None:
    system = AsyncSystem(async_engine, base=Base)
    controller = AsyncController(system, event_sources=[source()])
    await controller.setup(install=True)
    await system.storage.create("Customer", {"id": 1})
    other = async_sessionmaker(async_engine, expire_on_commit=False)
    system.attach(other)
    cls = other.kw["sync_session_class"]
    system.attach(other)
    assert other.kw["sync_session_class"] is cls
    async with other.begin() as session:
        assert (await controller.dispatch("place", ARGS, session=session)).ok
        assert (await session.get_one(Customer, 1)).spent == 5
    system.detach(other)
    with pytest.raises(FrameworkError, match="was never attached"):
        system.detach(async_sessionmaker())


@pytest.mark.parametrize("value", [None, {"a": 1}])
async def test_errors_can_be_raised(async_engine: AsyncEngine, value: Any) -> None:
    def fail(*_: Any) -> None:
        raise Refused(str(value))

    controller = AsyncController(
        AsyncSystem(async_engine, base=Base), event_sources=[source(guard=fail)], raise_errors=True
    )
    with pytest.raises(Refused):
        await controller.dispatch("place", ARGS)
