"""An asynchronous service over the domain: a dispatch of its own, or as a part of the request's transaction."""

from __future__ import annotations

import asyncio
import sys

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

import interaqt_sa as iq

from .domain import Customer, Order, OrderModel, PayOrder, Shipment, schema


def make_controller(engine: AsyncEngine) -> iq.AsyncController:
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    return iq.AsyncController(iq.AsyncSystem(sessions, base=schema), event_sources=[PayOrder])


async def pay(controller: iq.AsyncController, order_id: int, user_id: int, session: AsyncSession | None = None) -> int:
    """Return an HTTP status. Without a session: retried and committed. With one: the caller commits."""
    args = {"user": {"id": user_id}, "payload": {"order": {"id": order_id}}}
    result = await controller.dispatch(PayOrder, args, session=session)
    if result.ok:
        return 200
    assert result.error is not None
    return 409 if iq.find_constraint_violation_error(result.error) else 403


async def main(url: str) -> None:
    engine = create_async_engine(url)
    controller = make_controller(engine)
    await controller.setup(install=True)
    system = controller.system
    storage = system.storage
    customer = await storage.create(Customer, {})
    order = await storage.create(Order, {"total": 5, "customer": {"id": customer["id"]}})

    assert await pay(controller, order["id"], customer["id"] + 1) == 403
    assert await pay(controller, order["id"], customer["id"]) == 200

    order = await storage.create(Order, {"total": 7, "customer": {"id": customer["id"]}})
    async with system.session_factory() as session, session.begin():
        assert await pay(controller, order["id"], customer["id"], session) == 200
        statuses = await session.scalars(select(OrderModel.status))
        assert set(statuses) == {"paid"}

    found = await storage.find_one(Customer, {"id": customer["id"]}, attribute_query=["spent"])
    assert found is not None
    assert found["spent"] == 12
    assert await storage.dictionary.get("paid") == 2
    assert len(await storage.find(Shipment)) == 2
    assert (await system.check()).ok
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite+aiosqlite:///service.db"))
