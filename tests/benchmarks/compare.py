"""Variants taking turns: each load is run in short blocks, A B C A B C, and the medians of the blocks are compared."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.benchmarks import by_hand, kept

Operation = tuple[str, tuple[Any, ...]]
#: each has the operations as methods; the first is what the others are compared with
VARIANTS: dict[str, type[Any]] = {
    "ORM by hand": by_hand.Orm,
    "Core by hand": by_hand.Core,
    "sessions": kept.Sessions,
    "dispatch": kept.Dispatches,
}
#: operations a second of each load are measured with so many clients
CLIENTS = (1, 8)


@dataclass(frozen=True)
class Size:
    """How much is done.

    :ivar orders: so many, of a quarter as many customers.
    :ivar items: of each order.
    :ivar rounds: how often each variant has its turn.
    :ivar block: seconds of a turn.
    :ivar bulk: rows of the bulk insert.
    :ivar growth: members of the order that grows.
    """

    orders: int
    items: int
    rounds: int
    block: float
    bulk: int
    growth: tuple[int, ...]


FULL = Size(orders=400, items=30, rounds=9, block=0.4, bulk=10_000, growth=(10, 1_000, 100_000))
QUICK = Size(orders=200, items=5, rounds=3, block=0.1, bulk=10_000, growth=(10, 1_000, 10_000))


@dataclass
class Figure:
    """What was measured of one load: for each variant, of one operation in each of its blocks.

    :ivar seconds: time.
    :ivar cpu: processor time of this process; the database has its own.
    """

    load: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)

    def add(self, variant: str, seconds: float, cpu: float) -> None:
        self.seconds.setdefault(variant, []).append(seconds)
        self.cpu.setdefault(variant, []).append(cpu)

    def ratios(self, variant: str) -> tuple[float, float]:
        """Return time and processor time of ``variant`` in units of the first variant's."""
        base = next(iter(self.seconds))
        return tuple(median(m[variant]) / median(m[base]) for m in (self.seconds, self.cpu))  # type: ignore[return-value]


class Comparison:
    """Variants on databases of their own, filled alike.

    :param engines: an engine for each variant.
    """

    def __init__(self, engines: Mapping[str, AsyncEngine], size: Size) -> None:
        self.size = size
        self.variants = {name: VARIANTS[name](engine) for name, engine in engines.items()}
        self._random = random.Random(7)  # the same loads in each run

    # -- data --------------------------------------------------------------------------------------------------

    async def fill(self) -> None:
        """Fill each database anew."""
        for shop in self.variants.values():
            await self._fill(shop, [self.size.items] * self.size.orders)

    async def _fill(self, shop: Any, sizes: Sequence[int]) -> None:
        tables: Mapping[str, Table] = shop.metadata.tables
        customers = range(1, len(sizes) // 4 + 2)
        orders = [{"no": n, "customer_id": customers[n % len(customers)]} for n in range(len(sizes))]
        items = [
            {"order_id": order, "amount": 10 + n % 90, "done": n % 5 > 0}
            for order, size in enumerate(sizes, 1)
            for n in range(size)
        ]
        async with shop.engine.begin() as connection:
            await connection.run_sync(shop.metadata.drop_all)
            await connection.run_sync(shop.metadata.create_all)
            await connection.execute(insert(tables["customers"]), [{"no": n, "name": f"c{n}"} for n in customers])
            await connection.execute(insert(tables["orders"]), orders)
            if items:
                await connection.execute(insert(tables["items"]), items)
        if isinstance(shop, kept.Sessions):
            await shop.system.repair()

    async def faults(self) -> list[str]:
        """Say which stored values of the engine's variants are wrong."""
        found = []
        for name, shop in self.variants.items():
            if isinstance(shop, kept.Sessions):
                report = await shop.system.check()
                found += [f"{name}: {difference}" for difference in report.differences]
        return found

    # -- loads -------------------------------------------------------------------------------------------------

    async def measure(self) -> list[Figure]:
        """Run all loads of single changes, with one client and with several."""
        await self.fill()
        items = list(range(1, self.size.orders * self.size.items + 1))
        self._random.shuffle(items)
        third = len(items) // 3
        endless = {
            "add": self._adds(),
            "update": self._changes("update_item", items[:third], 99),
            "re-parent": self._changes("move_item", items[third : 2 * third], self.size.orders),
            "transition": self._transitions(),
        }
        figures = [
            await self._take_turns(f"{load}, {clients}", clients, operations)
            for load, operations in endless.items()
            for clients in CLIENTS
        ]
        # each item once: as many as there are, in blocks of one size
        gone = items[2 * third :]
        block = len(gone) // (len(CLIENTS) * (self.size.rounds + 1))
        deletes = iter([("delete_item", (item,)) for item in gone])
        return figures + [await self._take_turns(f"delete, {clients}", clients, deletes, block) for clients in CLIENTS]

    def _adds(self) -> Iterator[Operation]:
        while True:
            yield "add_item", (self._order(), self._random.randint(1, 99), self._random.random() < 0.8)

    def _changes(self, method: str, items: Sequence[int], highest: int) -> Iterator[Operation]:
        for item in itertools.cycle(items):
            yield method, (item, self._random.randint(1, highest))

    def _transitions(self) -> Iterator[Operation]:
        for name in itertools.cycle(by_hand.MOVES):
            for order in range(1, self.size.orders + 1):
                yield "transition", (order, name)

    def _order(self) -> int:
        return self._random.randint(1, self.size.orders)

    async def _take_turns(
        self, load: str, clients: int, operations: Iterator[Operation], block: int | None = None
    ) -> Figure:
        """Measure each variant in turn, with the same operations in each round.

        :param block: operations of a turn; ``None``: as many as the first variant does in the time of a block.
        """
        figure = Figure(load)
        for turn in range(self.size.rounds + 1):
            given: list[Operation] | None = None if block is None else list(itertools.islice(operations, block))
            for name, shop in self.variants.items():
                elapsed, cpu, given = await self._block(shop, clients, operations, given)
                if turn:  # the first round warms up
                    figure.add(name, elapsed / len(given), cpu / len(given))
        return figure

    async def _block(
        self, shop: Any, clients: int, operations: Iterator[Operation], given: list[Operation] | None
    ) -> tuple[float, float, list[Operation]]:
        done: list[Operation] = []
        waiting = operations if given is None else iter(given)
        gc.collect()
        begin, begin_cpu = time.perf_counter(), time.process_time()

        async def work() -> None:
            for operation in waiting:
                name, arguments = operation
                done.append(operation)
                await getattr(shop, name)(*arguments)
                if given is None and time.perf_counter() - begin > self.size.block:
                    return

        await asyncio.gather(*(work() for _ in range(clients)))
        return time.perf_counter() - begin, time.process_time() - begin_cpu, done

    async def bulk(self) -> Figure:
        """Insert many rows at once; the first variant does so without any derived values."""
        figure = Figure(f"bulk insert of {self.size.bulk:,}")
        for turn in range(max(3, self.size.rounds // 2) + 1):
            rows = [(self._order() % 100 + 1, n % 99 + 1, n % 5 > 0) for n in range(self.size.bulk)]
            for name in [name for name in self.variants if name != "dispatch"]:
                gc.collect()
                begin, begin_cpu = time.perf_counter(), time.process_time()
                await self.variants[name].bulk_add(rows)
                if turn:
                    elapsed, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
                    figure.add(name, elapsed / len(rows), cpu / len(rows))
        return figure

    async def growth(self) -> list[Figure]:
        """Add to an order that has more and more members."""
        figures = []
        for members in self.size.growth:
            for shop in self.variants.values():
                await self._fill(shop, [members, *[10] * 19])
            adds = itertools.repeat(("add_item", (1, 5, True)))
            figures.append(await self._take_turns(f"add to {members:,}", 1, adds, 12))
        return figures
