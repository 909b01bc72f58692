"""The command: ``python -m docs.examples.flights``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import create_engine, inspect

import interaqt_sa as iq

from . import report, script
from .data import count_flights, find_files
from .events import EVENT_SOURCES
from .load import load
from .models import Base


@click.command()
@click.option("--database", type=click.Path(path_type=Path), help="SQLite file; without it, a temporary one.")
@click.option("--url", help="Another database: postgresql+psycopg://user@host/name")
@click.option("--rows", type=click.IntRange(min=1), help="Load only so many flights.")
@click.option("--files", type=click.Path(exists=True, path_type=Path), help="Directory with the CSV files.")
@click.option("--replace", is_flag=True, help="Drop the tables of an earlier run first.")
def main(database: Path | None, url: str | None, rows: int | None, files: Path | None, replace: bool) -> None:
    """Load the flights of 2013, change some by events, and compare every computed value with a recompute."""
    if database and url:
        raise click.UsageError("give either --database or --url")
    with tempfile.TemporaryDirectory() as directory:
        engine = create_engine(url or f"sqlite:///{database or Path(directory, 'flights.sqlite3')}")
        try:
            controller = iq.Controller(iq.System(engine, base=Base), event_sources=EVENT_SOURCES)
            if replace:
                Base.metadata.drop_all(engine)
            elif taken := sorted(Base.metadata.tables.keys() & inspect(engine).get_table_names()):
                raise click.ClickException(f"the database has {', '.join(taken)} already; --replace drops them")
            controller.setup(install=True)
            ok = demonstrate(controller, rows, files or find_files())
        finally:
            engine.dispose()
    sys.exit(0 if ok else 1)


def demonstrate(controller: iq.Controller, rows: int | None, files: Path) -> bool:
    """Do it all; return whether every computed value is right."""
    console, system, clock = Console(), controller.system, _Clock()
    columns = (TextColumn("flights"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=rows or count_flights(files))
        loaded = load(system.session_factory, files, rows, lambda done: progress.update(task, completed=done))
    report.print_loaded(console, loaded, clock.lap())

    before = report.read_airlines(system)
    report.print_airlines(console, "Before the events", before)
    report.print_busiest(console, system)
    report.print_outcomes(console, script.run(controller))
    report.print_airlines(console, "After the events (* changed)", report.read_airlines(system), before)

    clock.lap()
    verdict = system.check()
    report.print_verdict(console, verdict, len(system.schema.computations), clock.lap())
    return verdict.ok


class _Clock:
    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        """Return the seconds since the last call."""
        last, self._last = self._last, time.perf_counter()
        return self._last - last


if __name__ == "__main__":
    main()
