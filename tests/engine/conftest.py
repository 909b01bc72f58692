"""Systems on empty databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase

import interaqt_sa as iq
from tests.engine.shop import Base
from tests.support.engines import EngineFactory

MakeSystem: TypeAlias = Callable[..., iq.System]


@pytest.fixture
def make_system(engine: Engine) -> MakeSystem:
    """Return what makes a system on `engine` over a base whose tables it creates; takes `System`'s arguments."""

    def make(base: type[DeclarativeBase], **options: Any) -> iq.System:
        system = iq.System(engine, base=base, **options)
        base.metadata.create_all(engine)
        return system

    return make


@pytest.fixture
def make_postgres_system(engine_for: EngineFactory, postgres_url: str) -> MakeSystem:
    """Return the same for PostgreSQL alone; its transactions give up waiting for a lock after ten seconds."""

    def make(base: type[DeclarativeBase], **options: Any) -> iq.System:
        engine = engine_for(
            "psycopg", pool_size=40, connect_args={"options": "-c lock_timeout=10s -c deadlock_timeout=50ms"}
        )
        system = iq.System(engine, base=base, **options)
        base.metadata.create_all(engine)
        return system

    return make


@pytest.fixture
def shop(make_system: MakeSystem) -> iq.System:
    """Return a system over the empty shop."""
    return make_system(Base)


@pytest.fixture
def postgres_shop(make_postgres_system: MakeSystem) -> iq.System:
    """Return the same on PostgreSQL."""
    return make_postgres_system(Base)
