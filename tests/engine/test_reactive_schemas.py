"""Whatever tables refer to, compute and react to: values equal their recompute, and events the diff of the tables."""

from __future__ import annotations

from contextlib import suppress
from random import Random

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import sessionmaker

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.engine.event_oracle import replay, snapshot
from tests.engine.reactive_schemas import ReactiveWrites, reactive_schema
from tests.support.engines import EngineFactory
from tests.support.torture import torture_from_environment

FULL = torture_from_environment().full


@pytest.mark.parametrize("collects", [False, True], ids=["values", "events"])
@pytest.mark.parametrize("seed", range(300 if FULL else 12))
@pytest.mark.parametrize("driver", ["pysqlite", pytest.param("psycopg", marks=pytest.mark.postgres)])
def test_one_write_after_another(engine_for: EngineFactory, driver: str, seed: int, collects: bool) -> None:
    """After each transaction every value equals its recompute, and its events replay what the tables went through."""
    _write_at_random(engine_for(driver), seed, collects=collects)


@pytest.mark.parametrize("seed", range(300 if FULL else 6))
@pytest.mark.parametrize("driver", ["pysqlite", pytest.param("psycopg", marks=pytest.mark.postgres)])
def test_while_somebody_listens(engine_for: EngineFactory, driver: str, seed: int) -> None:
    """The same on a connection that is listened to: statements go through SQLAlchemy then, and levels stay apart."""
    engine = engine_for(driver)
    statements: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def listen(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    _write_at_random(engine, seed, collects=True)
    assert statements


def _write_at_random(engine: Engine, seed: int, *, collects: bool) -> None:
    schema = reactive_schema(seed)
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=schema.base)
    schema.base.metadata.create_all(engine)
    with session_factory.begin() as session:
        schema.fill(session, Random(seed))
    assert not system.check().differences, schema.text
    writes = ReactiveWrites(schema, system)
    for turn in range(40):
        write = Random(f"{seed}.{turn}").choice(writes.all)
        where = f"turn {turn}, {write.__name__}, {schema.text}"
        before = snapshot(engine, schema.all_classes)
        events: list[iq.MutationEvent] = []
        # what it refers to may be gone, what refers to it may keep it, and its key may be taken
        with suppress(IntegrityError, iq.ConstraintViolationError), session_factory() as session:
            SessionState.of(session).collect_events = collects
            write(session, Random(f"{turn}"))
            session.flush()
            events = list(SessionState.of(session).transaction.events)
            session.commit()
        assert not system.check().differences, where
        if collects:
            after = snapshot(engine, schema.all_classes)
            assert replay(before, events) == after, where
