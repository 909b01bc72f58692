"""The same shop without the engine: each change writes the derived values itself, as careful applications do.

It locks in one order and adds differences, so it is as exact as the engine, for just these changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from sqlalchemy import BigInteger, ForeignKey, Text, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tests.benchmarks import models
from tests.benchmarks.models import MOVES

USER = {"id": "u1"}


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = models.Base.type_annotation_map


class Event(Base):
    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    usr: Mapped[dict[str, Any]]
    payload: Mapped[dict[str, Any]]


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    no: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    total: Mapped[int] = mapped_column(BigInteger, server_default="0")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    no: Mapped[int]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    item_count: Mapped[int] = mapped_column(server_default="0")
    done_count: Mapped[int] = mapped_column(server_default="0")
    items_total: Mapped[int] = mapped_column(BigInteger, server_default="0")
    all_done: Mapped[bool] = mapped_column(server_default="true")
    any_done: Mapped[bool] = mapped_column(server_default="false")
    status: Mapped[str] = mapped_column(Text, server_default="pending")


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    amount: Mapped[int]
    done: Mapped[bool]


#: a change of one order: so many items, so many of them done, so much money
Change = tuple[Any, Any, Any]


def _change_order(order: Any, change: Change) -> Any:
    items, done, amount = change
    values = {
        "item_count": Order.item_count + items,
        "done_count": Order.done_count + done,
        "items_total": Order.items_total + amount,
        "all_done": Order.done_count + done == Order.item_count + items,
        "any_done": Order.done_count + done > 0,
    }
    statement = update(Order).where(Order.id == order).values(values)
    return statement.execution_options(synchronize_session=False)


def _change_customer(customer: Any, amount: Any) -> Any:
    statement = update(Customer).where(Customer.id == customer).values(total=Customer.total + amount)
    return statement.execution_options(synchronize_session=False)


async def _follow(executor: Any, changes: dict[int, Change]) -> None:
    """Write what follows from changes of orders, up to their customers."""
    sums: dict[int, int] = {}
    for order, change in sorted(changes.items()):
        statement = _change_order(order, change).returning(Order.customer_id)
        customer = (await executor.execute(statement)).scalar_one()
        sums[customer] = sums.get(customer, 0) + change[2]
    for customer, amount in sorted(sums.items()):
        if amount:
            await executor.execute(_change_customer(customer, amount))


class Orm:
    """ORM sessions and objects."""

    metadata = Base.metadata

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def add_item(self, order: int, amount: int, done: bool) -> int:
        async with self.sessions.begin() as session:
            item = Item(order_id=order, amount=amount, done=done)
            session.add_all([item, _event("add_item", order=order, amount=amount, done=done)])
            await session.flush()
            await _follow(session, {order: (1, int(done), amount)})
        return item.id

    async def update_item(self, item: int, amount: int) -> None:
        async with self.sessions.begin() as session:
            found = await session.get_one(Item, item, with_for_update=True)
            change = amount - found.amount
            found.amount = amount
            session.add(_event("update_item", item=item, amount=amount))
            await session.flush()
            await _follow(session, {found.order_id: (0, 0, change)})

    async def delete_item(self, item: int) -> None:
        async with self.sessions.begin() as session:
            found = await session.get_one(Item, item, with_for_update=True)
            await session.delete(found)
            session.add(_event("delete_item", item=item))
            await session.flush()
            await _follow(session, {found.order_id: (-1, -int(found.done), -found.amount)})

    async def move_item(self, item: int, order: int) -> None:
        async with self.sessions.begin() as session:
            found = await session.get_one(Item, item, with_for_update=True)
            session.add(_event("move_item", item=item, order=order))
            left, done = found.order_id, int(found.done)
            if left != order:
                found.order_id = order
                await session.flush()
                await _follow(session, {left: (-1, -done, -found.amount), order: (1, done, found.amount)})

    async def transition(self, order: int, name: str) -> None:
        left, entered = MOVES[name]
        async with self.sessions.begin() as session:
            session.add(_event(name, order=order))
            await session.execute(_move_on(order, left, entered))

    async def bulk_add(self, rows: Sequence[tuple[int, int, bool]]) -> None:
        """Insert without any derived values: what the engine's bulk insert is compared with."""
        async with self.sessions.begin() as session:
            session.add(_event("bulk_add", n=len(rows)))
            await session.execute(insert(Item), [{"order_id": o, "amount": a, "done": d} for o, a, d in rows])


class Core:
    """Connections and statements."""

    metadata = Base.metadata

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @staticmethod
    async def _note(connection: Any, name: str, **payload: Any) -> None:
        await connection.execute(insert(Event.__table__), {"name": name, "usr": USER, "payload": payload})

    async def add_item(self, order: int, amount: int, done: bool) -> int:
        async with self.engine.begin() as connection:
            await self._note(connection, "add_item", order=order, amount=amount, done=done)
            statement = insert(Item.__table__).returning(Item.id)
            added = await connection.execute(statement, {"order_id": order, "amount": amount, "done": done})
            key: int = added.scalar_one()
            await _follow(connection, {order: (1, int(done), amount)})
        return key

    async def _locked(self, connection: Any, item: int) -> Any:
        statement = select(Item.order_id, Item.done, Item.amount).where(Item.id == item).with_for_update()
        return (await connection.execute(statement)).one()

    async def update_item(self, item: int, amount: int) -> None:
        async with self.engine.begin() as connection:
            await self._note(connection, "update_item", item=item, amount=amount)
            order, _, before = await self._locked(connection, item)
            await connection.execute(update(Item.__table__).where(Item.id == item).values(amount=amount))
            await _follow(connection, {order: (0, 0, amount - before)})

    async def delete_item(self, item: int) -> None:
        async with self.engine.begin() as connection:
            await self._note(connection, "delete_item", item=item)
            statement = delete(Item.__table__).where(Item.id == item)
            gone = await connection.execute(statement.returning(Item.order_id, Item.done, Item.amount))
            order, done, amount = gone.one()
            await _follow(connection, {order: (-1, -int(done), -amount)})

    async def move_item(self, item: int, order: int) -> None:
        async with self.engine.begin() as connection:
            await self._note(connection, "move_item", item=item, order=order)
            left, done, amount = await self._locked(connection, item)
            if left != order:
                await connection.execute(update(Item.__table__).where(Item.id == item).values(order_id=order))
                await _follow(connection, {left: (-1, -int(done), -amount), order: (1, int(done), amount)})

    async def transition(self, order: int, name: str) -> None:
        left, entered = MOVES[name]
        async with self.engine.begin() as connection:
            await self._note(connection, name, order=order)
            await connection.execute(_move_on(order, left, entered))

    async def bulk_add(self, rows: Sequence[tuple[int, int, bool]]) -> None:
        """Insert, and write the derived values once for each order and customer."""
        changes: dict[int, Change] = {}
        for order, amount, done in rows:
            items, finished, total = changes.get(order, (0, 0, 0))
            changes[order] = (items + 1, finished + done, total + amount)
        async with self.engine.begin() as connection:
            await self._note(connection, "bulk_add", n=len(rows))
            await connection.execute(
                insert(Item.__table__), [{"order_id": o, "amount": a, "done": d} for o, a, d in rows]
            )
            given = [{"o": o, "i": i, "d": d, "a": a} for o, (i, d, a) in sorted(changes.items())]
            statement = _change_order(bindparam("o"), (bindparam("i"), bindparam("d"), bindparam("a")))
            await connection.execute(statement, given)
            owners = select(Order.id, Order.customer_id).where(Order.id.in_(list(changes)))
            sums: dict[int, int] = {}
            for order, customer in await connection.execute(owners):
                sums[customer] = sums.get(customer, 0) + changes[order][2]
            await connection.execute(
                _change_customer(bindparam("c"), bindparam("a")), [{"c": c, "a": a} for c, a in sorted(sums.items())]
            )


def _move_on(order: int, left: str, entered: str) -> Any:
    statement = update(Order).where(Order.id == order, Order.status == left).values(status=entered)
    return statement.execution_options(synchronize_session=False)


def _event(name: str, **payload: Any) -> Event:
    return Event(name=name, usr=USER, payload=payload)
