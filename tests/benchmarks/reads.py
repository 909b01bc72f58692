"""Nested reads by ``storage.find``, beside the driver's own two statements that read the same.

A hundred orders with their customers and items, as nested dicts: by hand a join, a second statement for the items, and
a loop that puts them together.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import psycopg
from psycopg.rows import dict_row
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

import interaqt_sa as iq
from interaqt_sa.dialects.sqlite_transactions import SQLiteTransactions
from tests.benchmarks.compare import CLIENTS, Figure, Size
from tests.benchmarks.models import Base
from tests.support.databases import ProcessDatabase
from tests.support.urls import libpq, sqlite_file, with_driver

#: orders of one read
_WANTED = 100
_ORDER = ["no", "item_count", "items_total", "all_done", "any_done", "status"]
_QUERY = [
    *_ORDER,
    ("customer", {"attribute_query": ["no", "name", "total"]}),
    ("items", {"attribute_query": ["order_id", "amount", "done"]}),
]
_ORDERS_SQL = """
    SELECT o.id, o.no, o.item_count, o.items_total, o.all_done, o.any_done, o.status,
           c.id AS c_id, c.no AS c_no, c.name AS c_name, c.total AS c_total
    FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id {ids}
"""
_ITEMS_SQL = "SELECT id, order_id, amount, done FROM items WHERE order_id {ids} ORDER BY id"
_BOOLEANS = ("all_done", "any_done")


def _nested(orders: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    by_order: dict[int, list[dict[str, Any]]] = {}
    for item in items:
        by_order.setdefault(item["order_id"], []).append(dict(item))
    found = []
    for row in orders:
        order = dict(row)
        order["customer"] = {key: order.pop(f"c_{key}") for key in ("id", "no", "name", "total")}
        order["items"] = by_order.get(order["id"], [])
        found.append(order)
    return found


class Reader(ABC):
    """A way of reading; several clients may read at the same time."""

    @abstractmethod
    async def read(self, orders: list[int]) -> list[dict[str, Any]]:
        """Return the orders with these ids."""

    @abstractmethod
    async def close(self) -> None:
        """Give back what it holds."""


class Find(Reader):
    """``storage.find`` on an asynchronous engine."""

    def __init__(self, url: Any, **options: Any) -> None:
        self.engine = create_async_engine(url, **options)
        self._storage = iq.AsyncSystem(async_sessionmaker(self.engine), base=Base).storage

    async def read(self, orders: list[int]) -> list[dict[str, Any]]:
        return await self._storage.find("Order", {"id": ("in", orders)}, attribute_query=_QUERY)

    async def close(self) -> None:
        await self.engine.dispose()


class SyncFind(Reader):
    """``storage.find`` on a synchronous engine."""

    def __init__(self, url: Any) -> None:
        self.engine = create_engine(url)
        SQLiteTransactions().configure(self.engine)
        self._storage = iq.System(sessionmaker(self.engine), base=Base).storage

    async def read(self, orders: list[int]) -> list[dict[str, Any]]:
        return self._storage.find("Order", {"id": ("in", orders)}, attribute_query=_QUERY)

    async def close(self) -> None:
        self.engine.dispose()


class Asyncpg(Reader):
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(self, orders: list[int]) -> list[dict[str, Any]]:
        async with self._pool.acquire() as connection:
            found = await connection.fetch(_ORDERS_SQL.format(ids="= ANY($1::int[])"), orders)
            items = await connection.fetch(_ITEMS_SQL.format(ids="= ANY($1::int[])"), orders)
        return _nested(found, items)

    async def close(self) -> None:
        await self._pool.close()


class Psycopg(Reader):
    def __init__(self, connections: Sequence[psycopg.AsyncConnection[Any]]) -> None:
        self._connections = connections
        self._free: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        for connection in connections:
            self._free.put_nowait(connection)

    async def read(self, orders: list[int]) -> list[dict[str, Any]]:
        connection = await self._free.get()
        try:
            async with connection.cursor(row_factory=dict_row) as cursor:
                await cursor.execute(_ORDERS_SQL.format(ids="= ANY(%s::int[])"), [orders])
                found = await cursor.fetchall()
                await cursor.execute(_ITEMS_SQL.format(ids="= ANY(%s::int[])"), [orders])
                items = await cursor.fetchall()
        finally:
            self._free.put_nowait(connection)
        return _nested(found, items)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()


class Sqlite3(Reader):
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path)
        self._connection.row_factory = sqlite3.Row

    async def read(self, orders: list[int]) -> list[dict[str, Any]]:
        marks = f"IN ({','.join('?' * len(orders))})"
        found = self._connection.execute(_ORDERS_SQL.format(ids=marks), orders).fetchall()
        items = self._connection.execute(_ITEMS_SQL.format(ids=marks), orders).fetchall()
        return _with_booleans(_nested(found, items))

    async def close(self) -> None:
        self._connection.close()


class Aiosqlite(Reader):
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row

    async def read(self, orders: list[int]) -> list[dict[str, Any]]:
        marks = f"IN ({','.join('?' * len(orders))})"
        found = await self._connection.execute_fetchall(_ORDERS_SQL.format(ids=marks), orders)
        items = await self._connection.execute_fetchall(_ITEMS_SQL.format(ids=marks), orders)
        return _with_booleans(_nested(list(found), list(items)))

    async def close(self) -> None:
        await self._connection.close()


def _with_booleans(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for order in orders:
        for name in _BOOLEANS:
            order[name] = bool(order[name])
        for item in order["items"]:
            item["done"] = bool(item["done"])
    return orders


# -- measuring -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def postgres_readers(database: ProcessDatabase, size: Size) -> AsyncIterator[dict[str, dict[str, Reader]]]:
    """Give both ways for each driver, on one filled database."""
    await _fill(with_driver(database.url, "asyncpg"), size)
    plain = libpq(database.url)
    most = max(CLIENTS)
    options = {"pool_size": most, "max_overflow": 0}
    readers: dict[str, dict[str, Reader]] = {
        "asyncpg": {
            "driver": Asyncpg(await asyncpg.create_pool(plain, min_size=most, max_size=most)),
            "find": Find(with_driver(database.url, "asyncpg"), **options),
        },
        "psycopg": {
            "driver": Psycopg([await psycopg.AsyncConnection.connect(plain, autocommit=True) for _ in range(most)]),
            "find": Find(with_driver(database.url, "psycopg_async"), **options),
        },
    }
    try:
        yield readers
    finally:
        await _close(readers)


@asynccontextmanager
async def sqlite_readers(directory: Path, size: Size) -> AsyncIterator[dict[str, dict[str, Reader]]]:
    """Give both ways, in this thread and through one of its own, on one filled file."""
    url = sqlite_file(directory, "reads")
    await _fill(with_driver(url, "aiosqlite"), size)
    path = str(make_url(url).database)
    readers: dict[str, dict[str, Reader]] = {
        "pysqlite": {"driver": Sqlite3(path), "find": SyncFind(url)},
        "aiosqlite": {
            "driver": Aiosqlite(await aiosqlite.connect(path)),
            "find": Find(with_driver(url, "aiosqlite"), pool_size=max(CLIENTS), max_overflow=0),
        },
    }
    try:
        yield readers
    finally:
        await _close(readers)


async def _fill(url: Any, size: Size) -> None:
    engine = create_async_engine(url)
    system = iq.AsyncSystem(async_sessionmaker(engine), base=Base, unattached="allow")
    orders = range(1, size.orders + 1)
    tables = Base.metadata.tables
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
        customers = [{"no": n, "name": f"c{n}"} for n in range(1, size.orders // 4 + 2)]
        await connection.execute(tables["customers"].insert(), customers)
        await connection.execute(tables["orders"].insert(), [{"no": n, "customer_id": n // 4 + 1} for n in orders])
        items = [{"order_id": o, "amount": 10 + n, "done": n % 5 > 0} for o in orders for n in range(size.items)]
        await connection.execute(tables["items"].insert(), items)
    await system.repair()
    await engine.dispose()


async def _close(readers: Mapping[str, Mapping[str, Reader]]) -> None:
    for ways in readers.values():
        for reader in ways.values():
            await reader.close()


async def measure_reads(readers: Mapping[str, Mapping[str, Reader]], size: Size) -> list[Figure]:
    """Return how long one read takes in each way, which take turns; they must find the same.

    :raises ValueError: if they do not.
    """
    chosen = random.Random(7)
    figures = []
    for driver, ways in readers.items():
        wanted = [sorted(chosen.sample(range(1, size.orders + 1), _WANTED)) for _ in range(20)]
        answers = [sorted(await reader.read(wanted[0]), key=_by_id) for reader in ways.values()]
        if answers[0] != answers[1]:
            raise ValueError(f"{driver}: storage.find and the driver do not find the same")
        for clients in CLIENTS:
            figure = Figure(f"nested read, {driver}, {clients}")
            for turn in range(size.rounds + 1):
                for name, reader in ways.items():
                    seconds, cpu = await _block(reader, clients, itertools.cycle(wanted), size.block)
                    if turn:  # the first round warms up
                        figure.add(name, seconds, cpu)
            figures.append(figure)
    return figures


def _by_id(order: Mapping[str, Any]) -> Any:
    return order["id"]


async def _block(reader: Reader, clients: int, wanted: Iterator[list[int]], length: float) -> tuple[float, float]:
    gc.collect()
    reads = 0
    begin, begin_cpu = time.perf_counter(), time.process_time()

    async def work() -> None:
        nonlocal reads
        while time.perf_counter() - begin < length:
            reads += 1
            await reader.read(next(wanted))

    await asyncio.gather(*(work() for _ in range(clients)))
    return (time.perf_counter() - begin) / reads, (time.process_time() - begin_cpu) / reads
