"""Adapters for an external harness that compares libraries which keep derived columns on PostgreSQL.

It loads this file by its path, and offers its own settings in the module ``adapters.base`` once it runs::

    bench.py --adapter session=tests/benchmarks/adapter.py:SessionAdapter --adapters raw_asyncpg,sa_orm,session

Nothing of it is imported here, so that the file can be read, checked and packed without it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.kept import Dispatches, Sessions

#: what the harness compares with its own books after every load
_VIEWS = (
    """CREATE VIEW v_orders AS
    SELECT o.no, c.no AS customer_no, item_count, items_total, all_done, any_done, status
    FROM orders o JOIN customers c ON c.id = o.customer_id""",
    "CREATE VIEW v_customers AS SELECT no, total FROM customers",
    """CREATE VIEW v_items AS
    SELECT i.id, o.no AS order_no, i.amount, i.done FROM items i JOIN orders o ON o.id = i.order_id""",
    "CREATE VIEW v_events AS SELECT count(*) AS n FROM events",
)
_CUSTOMERS = "INSERT INTO customers (id, no, name) SELECT g, g - 1, 'c' || g FROM generate_series(1, :n) g"
_ORDERS = """
    INSERT INTO orders (id, no, customer_id)
    SELECT o, o - 1, c FROM unnest(CAST(:customers AS int[])) WITH ORDINALITY AS given(c, o)
"""
_ITEMS = """
    INSERT INTO items (id, order_id, amount, done)
    SELECT id, o, id * 7 % 90 + 10, id % 5 <> 0
    FROM (SELECT row_number() OVER (ORDER BY o, n) AS id, o
          FROM unnest(CAST(:sizes AS int[])) WITH ORDINALITY AS given(size, o), generate_series(1, size) n) AS numbered
"""


class SessionAdapter:
    """ORM sessions."""

    sync = False
    backend = "postgres"
    max_conc = 10_000
    variant: type[Sessions] = Sessions

    def __init__(self, db: str) -> None:
        self.db = db
        self._engine: AsyncEngine | None = None
        self._shop: Sessions

    def __getattr__(self, name: str) -> Any:
        # the operations have the names and parameters that the harness expects
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._shop if "_shop" in self.__dict__ else self.variant, name)

    async def setup(self, customers: int, orders: Sequence[tuple[int, int]], pre: Sequence[Any] = ()) -> None:
        """Fill a new database; the computed values of its first rows are made by ``repair``."""
        harness = importlib.import_module("adapters.base")
        await self.close()
        await harness.recreate(self.db)
        server = harness.PG
        self._engine = create_async_engine(
            f"postgresql+asyncpg://{server['user']}@{server['host']}:{server['port']}/{self.db}",
            pool_size=harness.POOL,
            max_overflow=0,
        )
        self._shop = self.variant(self._engine)
        sizes = [size for _, size in orders]
        async with self._engine.begin() as connection:
            await connection.run_sync(self.variant.metadata.create_all)
            for view in _VIEWS:
                await connection.execute(text(view))
            await connection.execute(text(_CUSTOMERS), {"n": customers})
            await connection.execute(text(_ORDERS), {"customers": [customer + 1 for customer, _ in orders]})
            await connection.execute(text(_ITEMS), {"sizes": sizes})
            for table, rows in (("customers", customers), ("orders", len(orders)), ("items", sum(sizes))):
                sequence = text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), :next, false)")
                await connection.execute(sequence, {"next": rows + 1})
        await self._shop.system.repair()
        async with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.execute(text("VACUUM ANALYZE"))

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def sql(self, query: str) -> list[list[Any]]:
        """Run a query of the harness."""
        assert self._engine is not None
        async with self._engine.connect() as connection:
            return [list(row) for row in await connection.execute(text(query))]


class DispatchAdapter(SessionAdapter):
    """Dispatched events."""

    variant = Dispatches
