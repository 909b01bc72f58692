"""Transaction-level locks on names, where there is no row to lock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...dialects.base import LOCK_NAMES

if TYPE_CHECKING:
    from ..plan import Source
    from .database import Database


def lock_names(db: Database, source: Source, names: Iterable[str], *, shared: bool = False) -> None:
    """Lock ``names``, in one order for all; does nothing on a database with a single writer.

    :param source: on whose connection.
    :param shared: whether others may hold them too, if shared as well.
    """
    dialect = db.dialect
    statement = db.statements.cached(("lock names", shared), lambda: dialect.lock_names(shared=shared))
    numbers = sorted({_number(name) for name in names})
    if statement is not None and numbers:
        db.execute(source, statement, dialect.pack("names", LOCK_NAMES, [(number,) for number in numbers]))


def place_of(text: str, places: int) -> int:
    """Return one of so many places for a text, the same in all processes."""
    return _number(text) % places


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"interaqt_sa {text}".encode()).digest()[:8], "big", signed=True)
