"""The shop with the engine: changes by ORM sessions, and by dispatched events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import joinedload, selectinload

import interaqt_sa as iq
from tests.benchmarks.models import (
    ADD,
    DELETE,
    EVENT_SOURCES,
    MOVE,
    TRANSITIONS,
    UPDATE,
    Base,
    Event,
    Item,
    Order,
)

USER = {"id": "u1"}


class Sessions:
    """One session for each event: the event's row and the objects that change; all else is the engine's work."""

    metadata = Base.metadata

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.sessions = async_sessionmaker(engine, expire_on_commit=False)
        self.system = iq.AsyncSystem(self.sessions, base=Base)

    async def add_item(self, order: int, amount: int, done: bool) -> int:
        async with self.sessions.begin() as session:
            item = Item(order_id=order, amount=amount, done=done)
            session.add_all([item, _event("add_item", order=order, amount=amount, done=done)])
        return item.id

    async def update_item(self, item: int, amount: int) -> None:
        async with self.sessions.begin() as session:
            found = await session.get_one(Item, item)
            found.amount = amount
            session.add(_event("update_item", item=item, amount=amount))

    async def delete_item(self, item: int) -> None:
        async with self.sessions.begin() as session:
            await session.delete(await session.get_one(Item, item))
            session.add(_event("delete_item", item=item))

    async def move_item(self, item: int, order: int) -> None:
        async with self.sessions.begin() as session:
            found = await session.get_one(Item, item)
            found.order_id = order
            session.add(_event("move_item", item=item, order=order))

    async def transition(self, order: int, name: str) -> None:
        async with self.sessions.begin() as session:
            session.add(_event(name, order=order))

    async def query(self, orders: Sequence[int]) -> list[dict[str, Any]]:
        statement = select(Order).where(Order.id.in_(orders))
        async with self.sessions() as session:
            found = await session.scalars(statement.options(joinedload(Order.customer), selectinload(Order.items)))
            return [_nested(order) for order in found]

    async def bulk_add(self, rows: Sequence[tuple[int, int, bool]]) -> None:
        async with self.sessions.begin() as session:
            session.add(_event("bulk_add", n=len(rows)))
            await session.execute(insert(Item), [{"order_id": o, "amount": a, "done": d} for o, a, d in rows])


class Dispatches(Sessions):
    """One dispatch for each event."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self.controller = iq.AsyncController(self.system, event_sources=EVENT_SOURCES, raise_errors=True)

    async def _dispatch(self, source: iq.EventSource, **payload: Any) -> Any:
        return (await self.controller.dispatch(source, {"user": USER, "payload": payload})).data

    async def add_item(self, order: int, amount: int, done: bool) -> int:
        added: int = await self._dispatch(ADD, order=order, amount=amount, done=done)
        return added

    async def update_item(self, item: int, amount: int) -> None:
        await self._dispatch(UPDATE, item=item, amount=amount)

    async def delete_item(self, item: int) -> None:
        await self._dispatch(DELETE, item=item)

    async def move_item(self, item: int, order: int) -> None:
        await self._dispatch(MOVE, item=item, order=order)

    async def transition(self, order: int, name: str) -> None:
        await self._dispatch(TRANSITIONS[name], order=order)


def _event(name: str, **payload: Any) -> Event:
    return Event(name=name, usr=USER, payload=payload)


def _nested(order: Order) -> dict[str, Any]:
    customer = order.customer
    return {
        "id": order.id,
        "no": order.no,
        "item_count": order.item_count,
        "items_total": order.items_total,
        "all_done": order.all_done,
        "any_done": order.any_done,
        "status": order.status,
        "customer": {"id": customer.id, "no": customer.no, "name": customer.name, "total": customer.total},
        "items": [{"id": i.id, "order_id": i.order_id, "amount": i.amount, "done": i.done} for i in order.items],
    }
