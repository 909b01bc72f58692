"""A system that is detached while a savepoint is open leaves no value in memory that its rollback takes back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard
from tests.session.test_what_detaching_leaves import left_on

pytestmark = pytest.mark.filterwarnings("ignore::interaqt_sa.UnattachedWriteWarning")


def read_before_the_end(session: Session, box: Any) -> None:
    assert box.size == 1


def read_nothing(session: Session, box: Any) -> None:
    pass


@pytest.mark.parametrize("meanwhile", [read_before_the_end, read_nothing], ids=["read", "unread"])
@pytest.mark.parametrize("commits", [False, True], ids=["rollback", "release"])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_value_of_the_savepoint(
    engine: Engine, meanwhile: Callable[[Session, Any], None], commits: bool, depth: int
) -> None:
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(cupboard.box).values(id=1))
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=cupboard.Base)
    with sessions() as session:
        box = session.get_one(cupboard.Box, 1)
        assert box.size == 0
        outer = session.begin_nested()
        inner = session.begin_nested() if depth == 2 else outer
        session.add(cupboard.Item(box_id=1))
        session.flush()
        assert box.size == 1
        system.detach(sessions)
        meanwhile(session, box)
        if commits:
            inner.commit()
            assert box.size == 1
        if depth == 2 or not commits:
            outer.rollback()
            assert box.size == 0
        session.commit()
        assert box.size == session.scalar(select(cupboard.box.c.size))
    assert left_on(engine) == left_on(sessions.class_) == []


def test_the_connections_own_savepoint(engine: Engine) -> None:
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(cupboard.box).values(id=1))
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=cupboard.Base)
    with sessions() as session:
        box = session.get_one(cupboard.Box, 1)
        savepoint = session.connection().begin_nested()
        session.add(cupboard.Item(box_id=1))
        session.flush()
        assert box.size == 1
        system.detach(sessions)
        savepoint.rollback()
        assert box.size == 0
