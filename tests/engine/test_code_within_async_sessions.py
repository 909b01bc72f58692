"""Code of the application takes part in the flushes of asynchronous sessions just as in others."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, event, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.engine.listened import Base, Item, Order, Region, hooked, listening, session_of

ITEM: Any = Item.__table__


def writes(connection: Connection, item: Any) -> None:
    session = session_of(item)
    connection.execute(update(ITEM).where(ITEM.c.id == 3).values(amount=ITEM.c.amount + 10))
    connection.execute(insert(ITEM).values(id=900 + item.id, order_id=2, amount=2))
    nested = session.begin_nested()
    session.execute(delete(Item).where(Item.id == 1))
    nested.rollback()
    session.expire_all()


def writes_after(session: Session, _: Any) -> None:
    session.connection().execute(update(ITEM).where(ITEM.c.id == 2).values(amount=ITEM.c.amount + 1))


def comments(_: Connection, element: Any, many: Any, one: Any, __: Any) -> Any:
    return (element.prefix_with("/* here */") if hasattr(element, "prefix_with") else element), many, one


async def test_all_at_once(async_engine: AsyncEngine) -> None:
    class Sessions(Session):
        pass

    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(async_engine, sync_session_class=Sessions, expire_on_commit=False)
    system = iq.AsyncSystem(sessions, base=Base)
    async with sessions.begin() as session:
        session.add_all([Region(id=n, orders=[Order(id=n)]) for n in (1, 2)])
        await session.flush()
        session.add_all([Item(id=n, order_id=1 + n // 3, amount=n) for n in (1, 2, 3)])
    event.listen(async_engine.sync_engine, "before_execute", comments, retval=True)
    with hooked(Item, "before_insert", writes), listening(Sessions, "after_flush", writes_after):
        async with sessions.begin() as session:
            order = await session.get_one(Order, 2)
            session.add(Item(id=50, order_id=1, amount=5))
            await session.flush()
            (await session.get_one(Item, 1)).amount = 8
            await session.flush()
            await session.execute(update(Item).values(amount=Item.amount * 2))
            await session.refresh(order, ["count"])
            assert order.count == 2
    report = await system.check()
    assert report.ok, report.differences
