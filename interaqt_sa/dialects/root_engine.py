"""The original of engines made with ``Engine.execution_options()``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine


def root_engine(engine: Any) -> Engine:
    """Return the engine from which ``engine`` was made by ``execution_options()``, or ``engine`` itself."""
    while isinstance(proxied := getattr(engine, "_proxied", None), Engine):
        engine = proxied
    assert isinstance(engine, Engine)
    return engine
