"""Transaction-level locks on names, used if there is no row to lock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...dialects.base import LOCK_NAMES

if TYPE_CHECKING:
    from ..plan import Source
    from .database import Database


def lock_names(db: Database, source: Source, names: Iterable[str], *, shared: bool = False) -> None:
    """Lock ``names`` in a global order; does nothing on a database with a single writer.

    :param source: determines the connection.
    :param shared: whether other transactions may hold shared locks at the same time.
    """
    dialect = db.dialect
    statement = db.statements.cached(("lock names", shared), lambda: dialect.lock_names(shared=shared))
    numbers = sorted({_number(name) for name in names})
    if statement is not None and numbers:
        db.execute(source, statement, dialect.pack("names", LOCK_NAMES, [(number,) for number in numbers]))


def place_of(text: str, places: int) -> int:
    """Return the number of a text, from 0 to ``places`` - 1, the same in all processes."""
    return _number(text) % places


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"interaqt_sa {text}".encode()).digest()[:8], "big", signed=True)
