"""Fixtures of the declarative tests."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from tests.declarative.kept import Keep, Kept


@pytest.fixture
def keep(engine: Engine) -> Keep:
    """Return what starts a :class:`.Kept` on SQLite and on PostgreSQL."""

    def start(base: Any, **options: Any) -> Kept:
        return Kept(engine, base, **options)

    return start
