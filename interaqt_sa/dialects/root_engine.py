"""Engines of SQLAlchemy and their variants."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine


def root_engine(engine: Any) -> Engine:
    """Return the engine of which ``engine`` is a variant with other execution options."""
    while isinstance(proxied := getattr(engine, "_proxied", None), Engine):
        engine = proxied
    assert isinstance(engine, Engine)
    return engine
