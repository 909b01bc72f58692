"""How hard concurrency and property tests try."""

from __future__ import annotations

import os
from dataclasses import dataclass

from hypothesis import settings


@dataclass(frozen=True)
class Torture:
    """The size of a concurrency test."""

    workers: int
    """Connections that write at the same time."""

    rounds: int
    """Transactions of each."""

    full: bool


def torture_from_environment() -> Torture:
    """Return moderate sizes, or large ones under `INTERAQT_SA_TORTURE=full`."""
    if _full():
        return Torture(workers=32, rounds=200, full=True)
    return Torture(workers=16, rounds=25, full=False)


def load_hypothesis_profile() -> None:
    """Let examples take as long as a database takes; in CI try the same ones each time."""
    settings.register_profile(
        "interaqt_sa",
        deadline=None,
        derandomize="CI" in os.environ and not _full(),
        print_blob=True,
        max_examples=500 if _full() else 100,
    )
    settings.load_profile("interaqt_sa")


def _full() -> bool:
    return os.environ.get("INTERAQT_SA_TORTURE") == "full"
