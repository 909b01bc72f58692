"""``python -m tests.benchmarks``: the engine beside SQLAlchemy code written by hand, on PostgreSQL and on SQLite.

Prints, for each load, the time of one operation of the hand-written ORM code, and how many times as long the others
take; in brackets the same of this process's CPU time, which suffers less from what else the machine does. All of them
take turns in one run, so that this hits all alike; only the ratios mean anything. Ends with status 1 when a stored
value is wrong, never for being slow.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from interaqt_sa.dialects.sqlite_transactions import SQLiteTransactions
from tests.benchmarks import reads
from tests.benchmarks.compare import FULL, QUICK, VARIANTS, Comparison, Figure, Size
from tests.support.databases import ProcessDatabase
from tests.support.servers import Server, find_server
from tests.support.urls import libpq, sqlite_file, with_driver


def _database(url: str | None) -> ProcessDatabase:
    return ProcessDatabase(find_server() if url is None else Server(libpq(url), "", "--url"))


@asynccontextmanager
async def postgres(url: str | None) -> AsyncIterator[dict[str, AsyncEngine]]:
    """Give each variant a schema of a database that is dropped at the end."""
    database = _database(url)
    engines = {}
    try:
        for name in VARIANTS:
            schema = name.replace(" ", "_").lower()
            settings = {"server_settings": {"search_path": schema, "jit": "off"}}
            engines[name] = create_async_engine(
                with_driver(database.url, "asyncpg"), pool_size=8, max_overflow=0, connect_args=settings
            )
            async with engines[name].begin() as connection:
                await connection.execute(text(f"CREATE SCHEMA {schema}"))
        yield engines
    finally:
        for engine in engines.values():
            await engine.dispose()
        database.close()


@asynccontextmanager
async def sqlite() -> AsyncIterator[dict[str, AsyncEngine]]:
    """Give each variant a file."""
    with tempfile.TemporaryDirectory() as directory:
        engines = {}
        transactions = SQLiteTransactions()
        for name in VARIANTS:
            engine = engines[name] = create_async_engine(with_driver(sqlite_file(Path(directory), name), "aiosqlite"))
            transactions.configure(engine.sync_engine)  # the same journal and locks for all
        try:
            yield engines
        finally:
            for engine in engines.values():
                await engine.dispose()


async def compare(title: str, engines: dict[str, AsyncEngine], size: Size) -> list[str]:
    """Measure and print; return what is wrong with stored values."""
    _say(f"\n{title}: time of one operation of {next(iter(VARIANTS))}, and the others in units of it")
    _print_row("load, clients", "", list(VARIANTS))
    comparison = Comparison(engines, size)
    faults = []
    for measure in (comparison.measure, comparison.bulk, comparison.growth):
        found = await measure()
        for figure in [found] if isinstance(found, Figure) else found:
            _print_figure(figure)
        faults += await comparison.faults()
    return faults


async def compare_reads(server: ProcessDatabase | Path, size: Size) -> None:
    """Measure and print nested reads by ``storage.find`` beside the driver's own two statements."""
    _say("\nnested reads of 100 orders: time of the driver's own two statements, and storage.find in units of it")
    is_file = isinstance(server, Path)
    readers = reads.sqlite_readers(server, size) if is_file else reads.postgres_readers(server, size)
    async with readers as found:
        for figure in await reads.measure_reads(found, size):
            cells = ["{:.2f} ({:.2f})".format(*figure.ratios("find"))]
            _print_row(figure.load, f"{median(figure.seconds['driver']) * 1e6:,.0f} µs", cells)


def _print_figure(figure: Figure) -> None:
    (base, *_) = figure.seconds.values()
    ratios = ["{:.2f} ({:.2f})".format(*figure.ratios(name)) if name in figure.seconds else "" for name in VARIANTS]
    _print_row(figure.load, f"{median(base) * 1e6:,.0f} µs", ratios)


def _print_row(load: str, unit: str, cells: list[str]) -> None:
    _say(f"{load:24}{unit:>12}" + "".join(f"{cell:>14}" for cell in cells))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  a program for the terminal


async def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds; good for a first look")
    parser.add_argument(
        "--url",
        help="measure on this PostgreSQL server only, or on SQLite with sqlite://; "
        "otherwise on SQLite and on the server that the tests would use",
    )
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    backend = make_url(given.url).get_backend_name() if given.url else None
    faults = []
    if backend in (None, "postgresql"):
        async with postgres(given.url) as engines:
            faults += await compare("PostgreSQL, asyncpg", engines, size)
        database = _database(given.url)
        try:
            await compare_reads(database, size)
        finally:
            database.close()
    if backend in (None, "sqlite"):
        async with sqlite() as engines:
            faults += await compare("SQLite, aiosqlite", engines, size)
        with tempfile.TemporaryDirectory() as directory:
            await compare_reads(Path(directory), size)
    _say("\nall stored values are right" if not faults else "\nwrong values:\n" + "\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
