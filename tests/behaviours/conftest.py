"""Storages over the domain of these tests."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.behaviours.people import storage_of


@pytest.fixture
def storage(engine: Engine) -> iq.Storage:
    """Return a storage over the whole domain, without records."""
    return storage_of(engine)
