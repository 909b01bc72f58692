"""Attached and detached in the middle of a transaction; statements that are given a place of their own."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard
from tests.support.engines import EngineFactory

pytestmark = pytest.mark.filterwarnings("ignore::interaqt_sa.UnattachedWriteWarning")


def write(cupboard: Cupboard, session: Session, box: Any) -> None:
    """Write in every way, a link table included, that an attached session follows."""
    box.items.append(cupboard.Item())
    box.labels.append(cupboard.Label())
    session.flush()
    session.execute(insert(cupboard.Item), [{"box_id": box.id}])
    session.execute(insert(cupboard.Item), [{"box_id": None}])
    session.execute(update(cupboard.Item).where(cupboard.Item.box_id.is_(None)).values(box_id=box.id))


@pytest.mark.parametrize("begun", ["reading", "flushed", "in a savepoint"])
@pytest.mark.parametrize("is_class", [False, True])
def test_a_session_in_its_transaction_is_joined(engine: Engine, begun: str, is_class: bool) -> None:
    class Own(Session):
        pass

    cupboard = Cupboard()
    system = cupboard.system(engine)
    sessions = sessionmaker(engine, class_=Own)
    with sessions() as session:
        box = session.get_one(cupboard.Box, 1)
        if begun == "flushed":
            session.add(cupboard.Note())
            session.flush()
        elif begun == "in a savepoint":
            session.begin_nested()
        system.attach(Own if is_class else sessions)
        write(cupboard, session, box)
        assert (box.size, box.label_count) == (3, 1)
        with pytest.raises(iq.UnmanagedWriteError, match="bypasses the session"):
            session.connection().execute(delete(cupboard.item))
        session.commit()
        session.commit()
    assert system.check().ok
    assert not list(system._engine._listeners._sessions)


def test_what_a_savepoint_takes_back_that_is_older_than_the_system(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    sessions = sessionmaker(engine)
    with sessions() as session:
        box = session.get_one(cupboard.Box, 1)
        savepoint = session.begin_nested()
        session.add(cupboard.Note())
        session.flush()
        system.attach(sessions)
        session.execute(insert(cupboard.Item), [{"box_id": 1}])
        assert box.size == 1
        savepoint.rollback()
        assert box.size == 0
        session.commit()
    assert system.check().ok


def test_a_detached_session_is_not_followed_any_more(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    sessions = sessionmaker(engine)
    system.attach(sessions)
    with sessions() as session:
        box = session.get_one(cupboard.Box, 1)
        write(cupboard, session, box)
        system.detach(sessions)
        assert not list(system._engine._listeners._sessions)
        session.execute(insert(cupboard.Item), [{"box_id": 1}])
        session.connection().execute(insert(cupboard.item).values(box_id=1))
        session.commit()
    assert [(d.property, d.stored, d.expected) for d in system.repair().differences] == [("size", 3, 5)]
    system.attach(sessions)
    with sessions() as session:
        write(cupboard, session, session.get_one(cupboard.Box, 1))
        session.commit()
    assert system.check().ok


async def test_asynchronous_sessions(async_engine: AsyncEngine) -> None:
    cupboard = Cupboard()
    async with async_engine.begin() as connection:
        await connection.run_sync(cupboard.Base.metadata.create_all)
    system = iq.AsyncSystem(async_engine, base=cupboard.Base)
    async with system.session_factory.begin() as session:
        session.add(cupboard.Box(id=1))
    others = async_sessionmaker(async_engine, sync_session_class=type("Own", (Session,), {}))
    async with others() as session:
        box = await session.get_one(cupboard.Box, 1)
        await session.refresh(box, ["items", "labels"])
        system.sync_system.attach(type(session.sync_session))
        await session.run_sync(lambda sync: write(cupboard, sync, box))
        assert (box.size, box.label_count) == (3, 1)
        await session.commit()
    assert (await system.check()).ok


# -- a place of their own ---------------------------------------------------------------------------------------------


def statements(cupboard: Cupboard) -> list[tuple[Any, Any]]:
    return [
        (insert(cupboard.Box), [{"id": 1}]),
        (insert(cupboard.Item), [{"id": n, "box_id": 1} for n in range(4)]),
        (update(cupboard.Item).where(cupboard.Item.id == 1).values(box_id=None), None),
        (delete(cupboard.Item).where(cupboard.Item.id == 2), None),
        (insert(cupboard.links).values(box_id=1, label_id=1), None),
    ]


def stored(engine: Engine, cupboard: Cupboard) -> list[tuple[int, int]]:
    with engine.connect() as connection:
        rows = connection.execute(select(cupboard.box.c.size, cupboard.box.c.label_count))
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("is_connection", [False, True])
def test_a_session_without_an_engine(engine: Engine, is_connection: bool) -> None:
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    sessions = sessionmaker()
    iq.System(sessions, base=cupboard.Base)
    with engine.connect() as connection, sessions() as session:
        bind = connection if is_connection else engine
        session.execute(insert(cupboard.Label), [{"id": 1}], bind_arguments={"bind": bind})
        for statement, parameters in statements(cupboard):
            session.execute(statement, parameters, bind_arguments={"bind": bind})
        session.commit()
        connection.commit()
    assert stored(engine, cupboard) == [(2, 1)]


def test_another_engine_than_the_sessions(engine_for: EngineFactory, tmp_path: Any) -> None:
    """The same tables in two databases: each follows what is written there, if not in one transaction."""
    from sqlalchemy import create_engine

    first = engine_for("pysqlite")
    second = create_engine(f"sqlite:///{tmp_path / 'second.db'}")
    cupboard = Cupboard()
    for engine in (first, second):
        cupboard.Base.metadata.create_all(engine)
    sessions = sessionmaker(first)
    system = iq.System(sessions, base=cupboard.Base)
    with sessions() as session:
        session.execute(insert(cupboard.Label), [{"id": 1}], bind_arguments={"bind": second})
        for statement, parameters in statements(cupboard):
            session.execute(statement, parameters, bind_arguments={"bind": second})
        session.add(cupboard.Box(id=1))
        with pytest.raises(iq.TransactionCapabilityError, match="two engines in one session"):
            session.flush()
        session.rollback()
        for statement, parameters in statements(cupboard)[:2]:
            session.execute(statement, parameters, bind_arguments={"bind": second})
        session.commit()
        box = cupboard.Box(id=1)
        session.add(box)
        write(cupboard, session, box)
        session.commit()
    assert stored(first, cupboard) == [(3, 1)]
    assert stored(second, cupboard) == [(4, 0)]
    assert system.check().ok
    second.dispose()
