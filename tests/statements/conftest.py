"""Systems on empty databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.declarative.kept import Kept
from tests.statements.boxes import Base, fill


@pytest.fixture
def boxes(engine: Engine) -> Kept:
    """Return a system over two boxes, the first with three items."""
    kept = Kept(engine, Base)
    with kept.begin() as session:
        fill(session)
    return kept
