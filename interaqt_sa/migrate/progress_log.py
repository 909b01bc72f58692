"""Log the progress of a back-fill every few seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Column

log = logging.getLogger("alembic.interaqt_sa")

#: seconds between two lines
_INTERVAL = 2.0


class Progress:
    """The progress of one pass over the rows of a table.

    :param total: the approximate number of rows.
    :param done: the number of rows that an interrupted run has filled.
    """

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title = title
        self._total = total
        self._done = self._rows = done
        self._start = time.monotonic()
        self._told = float("-inf")

    def batch(self, rows: int, columns: Sequence[Column[Any]], last: tuple[Any, ...]) -> None:
        """Record a batch of up to ``rows`` rows."""
        # an estimate: only the last batch of a table is not full
        self._rows = min(self._rows + rows, max(self._total, self._rows + 1))
        now = time.monotonic()
        if now - self._told < _INTERVAL:
            return
        self._told = now
        key = ", ".join(f"{column.name}={part}" for column, part in zip(columns, last, strict=True))
        rate = (self._rows - self._done) / max(now - self._start, 1e-3)
        left = timedelta(seconds=round(max(self._total - self._rows, 0) / rate))
        log.info(
            "Back-fill of %s: %s of about %s rows (%s %%), %s rows/s, %s left, up to %s",
            self._title,
            self._rows,
            self._total,
            min(round(100 * self._rows / max(self._total, 1)), 100),
            round(rate),
            left,
            key,
        )

    def end(self) -> None:
        """Log the end of the pass."""
        seconds = time.monotonic() - self._start
        log.info("Back-fill of %s done: about %s rows in %.1f s", self._title, self._total, seconds)
