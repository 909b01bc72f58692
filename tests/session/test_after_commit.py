"""Work that waits until somebody else's transaction is committed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from interaqt_sa.session.after_commit import run_after_commit


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        yield session


def test_it_runs_once_after_the_commit(session: Session) -> None:
    trace: list[str] = []
    run_after_commit(session, lambda: trace.append(f"work {session.in_transaction()}"))
    assert trace == []
    session.commit()
    session.execute(text("SELECT 1"))
    session.commit()
    assert trace == ["work False"]


def test_a_rollback_drops_it(session: Session) -> None:
    trace: list[str] = []
    run_after_commit(session, lambda: trace.append("work"))
    session.rollback()
    session.execute(text("SELECT 1"))
    session.commit()
    assert trace == []


def test_closing_the_session_drops_it(session: Session) -> None:
    trace: list[str] = []
    run_after_commit(session, lambda: trace.append("work"))
    session.close()
    session.execute(text("SELECT 1"))
    session.commit()
    assert trace == []


def test_a_released_savepoint_hands_it_on(session: Session) -> None:
    trace: list[str] = []
    with session.begin_nested():
        with session.begin_nested():
            run_after_commit(session, lambda: trace.append("inner"))
        run_after_commit(session, lambda: trace.append("outer"))
    assert trace == []
    session.commit()
    assert sorted(trace) == ["inner", "outer"]


def test_a_savepoint_rolled_back_drops_what_was_asked_for_in_it(session: Session) -> None:
    trace: list[str] = []
    run_after_commit(session, lambda: trace.append("before"))
    savepoint = session.begin_nested()
    with session.begin_nested():
        run_after_commit(session, lambda: trace.append("inside"))
    savepoint.rollback()
    run_after_commit(session, lambda: trace.append("after"))
    session.commit()
    assert trace == ["before", "after"]


def test_it_holds_no_connection_while_it_runs(session: Session, engine: Engine) -> None:
    counts: list[int] = []
    run_after_commit(session, lambda: counts.append(engine.pool.checkedout()))  # type: ignore[attr-defined]
    session.commit()
    assert counts == [0]


def test_there_must_be_a_transaction(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(RuntimeError, match="transaction"):
        run_after_commit(session, lambda: None)
