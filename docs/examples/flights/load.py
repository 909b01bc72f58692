"""Loading: ordinary bulk inserts of the ORM; computed values follow by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sqlalchemy import insert
from sqlalchemy.orm import Session, sessionmaker

from . import data
from .models import Airline, Airport, Flight, Plane

CHUNK = 10_000


@dataclass
class Loaded:
    """What was loaded. ``airports`` and ``planes`` are missing from the files, with the number of their flights."""

    flights: int = 0
    airports: Counter[str] = field(default_factory=Counter)
    planes: Counter[str] = field(default_factory=Counter)
    without_plane: int = 0


def load(sessions: sessionmaker[Session], files: Path, limit: int | None, progress: Callable[[int], None]) -> Loaded:
    """Load airlines, airports, planes and at most ``limit`` flights; ``progress`` gets the number loaded so far."""
    loaded, airports, planes = Loaded(), data.airports(files), data.planes(files)
    with sessions.begin() as session:
        session.execute(insert(Airline), data.airlines(files))
        session.execute(insert(Airport), airports)
        session.execute(insert(Plane), planes)
    known_airports, known_planes = {row["faa"] for row in airports}, {row["tailnum"] for row in planes}
    flights = islice(data.flights(files), limit)
    while chunk := list(islice(flights, CHUNK)):
        ends = Counter(faa for row in chunk for faa in (row["origin_faa"], row["dest_faa"]))
        tails = Counter(row["tailnum"] for row in chunk)
        loaded.without_plane += tails.pop(None, 0)
        with sessions.begin() as session:
            if new := ends.keys() - known_airports - loaded.airports.keys():
                session.execute(insert(Airport), [{"faa": faa} for faa in sorted(new)])
            if new := tails.keys() - known_planes - loaded.planes.keys():
                session.execute(insert(Plane), [{"tailnum": tailnum} for tailnum in sorted(new)])
            # Without render_nulls the ORM makes another INSERT wherever the rows lack different values.
            session.execute(insert(Flight), chunk, execution_options={"render_nulls": True})
        loaded.airports.update({faa: n for faa, n in ends.items() if faa not in known_airports})
        loaded.planes.update({tailnum: n for tailnum, n in tails.items() if tailnum not in known_planes})
        loaded.flights += len(chunk)
        progress(loaded.flights)
    return loaded
