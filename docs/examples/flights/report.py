"""Tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.table import Table
from sqlalchemy import select

import interaqt_sa as iq

from .load import Loaded
from .models import Airline, Airport, Plane, total_flights, total_miles
from .script import Outcome

Rows = Mapping[str, Sequence[str]]
TOTAL = "all"


def read_airlines(system: iq.System) -> Rows:
    """Return what is computed for each airline, and for all together."""
    dictionary = system.storage.dictionary
    rows = {}
    with system.session_factory() as session:
        for a in session.scalars(select(Airline).order_by(Airline.carrier)):
            delay = "" if a.delay is None else f"{a.delay:.2f}"
            numbers = (f"{a.flight_count:,}", f"{a.flown_count:,}", f"{a.miles:,}", delay)
            rows[a.carrier] = (a.name, *numbers, "yes" if a.all_departed else "no")
    rows[TOTAL] = ("", f"{dictionary.get(total_flights):,}", "", f"{dictionary.get(total_miles):,}", "", "")
    return rows


def print_airlines(console: Console, title: str, rows: Rows, before: Rows | None = None) -> None:
    """Print a row per airline; a star marks what differs from ``before``."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("", min_width=3)
    table.add_column("airline", no_wrap=True, max_width=13)
    for header in ("flights", "flown", "miles", "delay"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("all left", no_wrap=True)
    for key, row in rows.items():
        if key == TOTAL:
            table.add_section()
        pairs = zip(row, (before or rows)[key], strict=True)
        table.add_row(key, *(now if now == old else f"[bold green]{now}*[/]" for now, old in pairs))
    console.print(table)


def print_loaded(console: Console, loaded: Loaded, seconds: float) -> None:
    console.print(f"Loaded {loaded.flights:,} flights in {seconds:.1f} s.")
    for what, missing in (("airports", loaded.airports), ("planes", loaded.planes)):
        console.print(f"{len(missing):,} {what} of {missing.total():,} flights are not in the files: added bare rows.")
    console.print(f"{loaded.without_plane:,} flights have no tail number.\n")


def print_busiest(console: Console, system: iq.System) -> None:
    with system.session_factory() as session:
        airport = session.scalars(select(Airport).order_by(Airport.arrival_count.desc(), Airport.faa).limit(1)).one()
        plane = session.scalars(select(Plane).order_by(Plane.flight_count.desc(), Plane.tailnum).limit(1)).one()
    console.print(f"Most arrivals: {airport.faa}, {airport.arrival_count:,}.", end=" ")
    console.print(f"Busiest plane: {plane.tailnum}, {plane.flight_count:,} flights, {plane.miles:,} miles.\n")


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table("event", "outcome", title="Events", title_justify="left", title_style="bold")
    table.add_column("times", justify="right")
    table.add_column("ms", justify="right")
    times: dict[tuple[str, str], list[float]] = {}
    for outcome in outcomes:
        times.setdefault((outcome.event, str(outcome)), []).append(outcome.seconds * 1000)
    for names, spent in times.items():
        table.add_row(*names, str(len(spent)), f"{median(spent):.1f}")
    console.print(table)
    applied = median(outcome.seconds for outcome in outcomes if outcome.error is None)
    console.print(f"An event that was applied took {applied * 1000:.1f} ms (median), its commit included.\n")


def print_verdict(console: Console, verdict: iq.CheckReport, computed: int, seconds: float) -> None:
    if verdict.ok:
        console.print(f"check: {computed} computed columns equal a recompute in every row ({seconds:.1f} s).")
    for difference in verdict.differences[:20]:
        console.print(f"[bold red]check:[/] {difference}")
