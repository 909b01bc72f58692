"""Sessions that share a connection: each is followed, in whatever order they begin, write and end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from sqlalchemy import Connection, Engine, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard

Mode = Literal["rollback_only", "create_savepoint", "control_fully"]


@pytest.fixture
def cupboard() -> Cupboard:
    return Cupboard()


@pytest.fixture
def system(cupboard: Cupboard, engine: Engine) -> iq.System:
    return cupboard.system(engine)


@pytest.fixture
def connection(system: iq.System, engine: Engine) -> Iterator[Connection]:
    """Give a connection in a transaction that is rolled back in the end, as test suites do."""
    with engine.connect() as connection:
        transaction = connection.begin()
        yield connection
        if transaction.is_active:
            transaction.rollback()
    assert system.check().ok


def sizes(system: iq.System, connection: Connection, cupboard: Cupboard) -> tuple[int, int]:
    """Return what box 1 stores, after proof that all is true on the connection."""
    factory = sessionmaker(connection, join_transaction_mode="rollback_only", class_=system.session_factory.class_)
    own = system.session_factory.kw["bind"]
    system.session_factory.configure(bind=connection, join_transaction_mode="rollback_only")
    try:
        report = system.check()
    finally:
        system.session_factory.configure(bind=own, join_transaction_mode="conditional_savepoint")
    assert report.ok, report
    with factory() as session:
        box = session.get_one(cupboard.Box, 1)
        return box.size, box.label_count


def by_flush(cupboard: Cupboard, session: Session) -> None:
    session.add(cupboard.Item(box_id=1))
    session.flush()


def by_link(cupboard: Cupboard, session: Session) -> None:
    box = session.get_one(cupboard.Box, 1)
    box.labels.append(cupboard.Label())
    session.flush()


def by_statement(cupboard: Cupboard, session: Session) -> None:
    session.execute(insert(cupboard.Item), [{"box_id": 1}])


def by_update(cupboard: Cupboard, session: Session) -> None:
    session.execute(insert(cupboard.Item), [{"box_id": None}])
    session.execute(update(cupboard.Item).where(cupboard.Item.box_id.is_(None)).values(box_id=1))


WRITES = [by_flush, by_link, by_statement, by_update]
Write = Callable[[Cupboard, Session], None]


@pytest.mark.parametrize("mode", ["rollback_only", "create_savepoint"])
@pytest.mark.parametrize(
    ("first", "second"), list(zip(WRITES, [by_link, by_update, by_flush, by_statement], strict=True))
)
def test_they_write_in_turns(
    system: iq.System, connection: Connection, cupboard: Cupboard, first: Write, second: Write, mode: Mode
) -> None:
    def make() -> Any:
        return system.session_factory(bind=connection, join_transaction_mode=mode)

    with make() as one, make() as two:
        first(cupboard, one)
        second(cupboard, two)
        first(cupboard, one)
        second(cupboard, two)
        if mode == "create_savepoint":
            two.commit()  # savepoints end in the order of a stack
            one.commit()
        assert sum(sizes(system, connection, cupboard)) == 4


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
@pytest.mark.parametrize("write", WRITES)
def test_one_goes_on_when_the_other_has_ended(
    system: iq.System, connection: Connection, cupboard: Cupboard, write: Write, end: str
) -> None:
    with system.session_factory(bind=connection, join_transaction_mode="create_savepoint") as one:
        write(cupboard, one)
        with system.session_factory(bind=connection, join_transaction_mode="create_savepoint") as two:
            write(cupboard, two)
            getattr(two, end)()
        write(cupboard, one)
        with pytest.raises(iq.UnmanagedWriteError, match="bypasses the session"):
            one.connection().execute(delete(cupboard.item))
        one.commit()
    assert sum(sizes(system, connection, cupboard)) == (3 if end == "commit" else 2)


@pytest.mark.parametrize("is_nested", [False, True])
def test_a_helper_on_the_connection_of_a_session(system: iq.System, cupboard: Cupboard, is_nested: bool) -> None:
    with system.session_factory.begin() as session:
        box = session.get_one(cupboard.Box, 1)
        if is_nested:
            session.begin_nested()
        with system.session_factory(bind=session.connection(), join_transaction_mode="rollback_only") as helper:
            helper.add(cupboard.Item(box_id=1))
            helper.flush()
            box.labels.append(cupboard.Label())
            session.flush()
            assert box.label_count == 1
            helper.execute(insert(cupboard.Item), [{"box_id": 1}])
            assert helper.get_one(cupboard.Box, 1).size == 2
        session.add(cupboard.Item(box_id=1))
        session.flush()
        assert box.size == 3
    assert system.check().ok


def test_a_savepoint_of_the_connection_that_is_older_than_the_session(
    system: iq.System, connection: Connection, cupboard: Cupboard
) -> None:
    savepoint = connection.begin_nested()
    with system.session_factory(bind=connection, join_transaction_mode="rollback_only") as session:
        box = session.get_one(cupboard.Box, 1)
        session.add(cupboard.Item(box_id=1))
        session.flush()
        assert box.size == 1
        savepoint.rollback()
        assert box.size == 0
    assert sizes(system, connection, cupboard) == (0, 0)


@pytest.mark.parametrize("which", [0, 1])
def test_a_rollback_is_seen_by_the_session_that_made_the_savepoint(
    system: iq.System, connection: Connection, cupboard: Cupboard, which: int
) -> None:
    def make() -> Any:
        return system.session_factory(bind=connection, join_transaction_mode="rollback_only")

    with make() as one, make() as two:
        session = (one, two)[which]
        box = session.get_one(cupboard.Box, 1)
        by_flush(cupboard, session)
        with session.begin_nested() as savepoint:
            by_flush(cupboard, session)
            by_link(cupboard, session)
            assert (box.size, box.label_count) == (2, 1)
            savepoint.rollback()
        assert (box.size, box.label_count) == (1, 0)
    assert sizes(system, connection, cupboard) == (1, 0)


def test_of_two_factories_and_a_class(system: iq.System, connection: Connection, cupboard: Cupboard) -> None:
    class Own(Session):
        pass

    other = sessionmaker(connection, join_transaction_mode="rollback_only", autoflush=False)
    system.attach(other)
    system.attach(Own)
    with other() as one, Own(connection, join_transaction_mode="rollback_only") as two:
        for write in WRITES:
            write(cupboard, one)
            write(cupboard, two)
        for session in (one, two):
            with pytest.raises(iq.UnmanagedWriteError):
                session.connection().execute(insert(cupboard.item).values(box_id=1))
    assert sizes(system, connection, cupboard) == (6, 2)


def test_one_that_is_not_attached_beside_one_that_is(
    system: iq.System, connection: Connection, cupboard: Cupboard
) -> None:
    """Nothing tells whose statement it is on a connection that an attached session uses."""
    with (
        system.session_factory(bind=connection, join_transaction_mode="rollback_only") as attached,
        Session(connection, join_transaction_mode="rollback_only") as other,
    ):
        by_flush(cupboard, attached)
        other.add(cupboard.Item(box_id=1))
        with pytest.raises(iq.UnmanagedWriteError, match=r"another session on the same connection.*system\.attach"):
            other.flush()


def test_two_systems_on_one_connection(system: iq.System, connection: Connection, cupboard: Cupboard) -> None:
    """Each follows its own session, and does not count for the other."""
    other = Cupboard()
    second = iq.System(sessionmaker(connection, join_transaction_mode="rollback_only"), base=other.Base)
    with (
        system.session_factory(bind=connection, join_transaction_mode="rollback_only") as one,
        second.session_factory() as two,
    ):
        by_flush(cupboard, one)
        by_link(cupboard, one)
        with pytest.raises(iq.UnmanagedWriteError, match="another session on the same connection"):
            by_flush(other, two)  # a second set of models for the same tables is another program


async def test_asynchronous_sessions(async_engine: AsyncEngine, cupboard: Cupboard) -> None:
    async with async_engine.begin() as setup:
        await setup.run_sync(cupboard.Base.metadata.create_all)
    sessions = async_sessionmaker(async_engine, expire_on_commit=False)
    system = iq.AsyncSystem(sessions, base=cupboard.Base)
    async with sessions.begin() as session:
        session.add(cupboard.Box(id=1))
    connection: AsyncConnection
    async with async_engine.connect() as connection:
        assert await connection.begin()
        options: dict[str, Any] = {"bind": connection, "join_transaction_mode": "rollback_only"}
        async with sessions(**options) as one, sessions(**options) as two:
            for session in (one, two, one):
                await session.run_sync(lambda sync: [write(cupboard, sync) for write in WRITES])
            with pytest.raises(iq.UnmanagedWriteError):
                await (await two.connection()).execute(insert(cupboard.item).values(box_id=1))
            box = await two.get_one(cupboard.Box, 1, populate_existing=True)
            assert (box.size, box.label_count) == (9, 3)
        await connection.commit()
    assert (await system.check()).ok
