"""After the last detach nothing of a system is left on session classes and engines; nor when it is dropped."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard

#: everything that may be listened to on a class of sessions, an engine or a pool
_ENGINE_EVENTS = ["begin", "before_execute", "before_cursor_execute", "savepoint", "rollback_savepoint", "invalidate"]


def left_on(target: Any) -> list[str]:
    """Return what is listened to on an engine, or on a class of sessions, by this package."""
    if isinstance(target, Engine):
        on_engine = [listener for name in _ENGINE_EVENTS[:-1] for listener in getattr(target.dispatch, name)]
        found = [*on_engine, *target.pool.dispatch.invalidate, *target.dialect.dispatch.handle_error]
    else:
        found = []
        names = [name for name in dir(Session.dispatch) if not name.startswith("_")]
        for name in names:
            by_class = getattr(getattr(Session.dispatch, name), "_clslevel", {})
            found += by_class.get(target, ())
    return [str(listener) for listener in found if "interaqt_sa" in getattr(listener, "__module__", "")]


def use(cupboard: Cupboard, session: Session) -> None:
    with session, session.begin():
        box = cupboard.Box(items=[cupboard.Item()], labels=[cupboard.Label()])
        session.add(box)
        with session.begin_nested():
            session.add(cupboard.Item(box=box))
        assert (box.size, box.label_count) == (2, 1)


def test_nothing_is_left(engine: Engine) -> None:
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=cupboard.Base)
    use(cupboard, sessions())
    assert left_on(engine)
    assert left_on(sessions.class_)
    system.detach(sessions)
    assert left_on(engine) == []
    assert left_on(sessions.class_) == []
    with engine.connect() as connection:
        assert not event.contains(connection, "begin", lambda *_: None)
    system.attach(sessions)
    use(cupboard, sessions())
    assert system.check().ok


class Named:
    """A factory, an own factory of the test, a class of sessions, and all sessions."""

    def __init__(self, engine: Engine) -> None:
        class Own(Session):
            pass

        self.engine = engine
        self.app = sessionmaker(engine)
        self.scoped = scoped_session(sessionmaker(engine, class_=Own))
        self.targets: dict[str, Any] = {"app": self.app, "own": Own, "scoped": self.scoped, "all": Session}

    def make(self, name: str) -> Session:
        """Return a session that attaching ``name`` takes in."""
        if name == "scoped":
            made: Session = self.scoped.session_factory()
            return made
        target = self.targets[name]
        return target() if name == "app" else target(self.engine)  # type: ignore[no-any-return]


#: what takes in the sessions of what else
_WITHIN = {"app": {"app", "all"}, "scoped": {"scoped", "own", "all"}, "own": {"own", "all"}, "all": {"all"}}


@pytest.mark.parametrize("order", list(permutations(["app", "own", "scoped", "all"]))[::4], ids="-".join)
def test_in_any_order_and_nesting(engine: Engine, order: tuple[str, ...]) -> None:
    """Attached in one order and detached in the other, sessions are followed while one that takes them in is."""
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    named = Named(engine)
    system = iq.System(sessionmaker(), base=cupboard.Base, unattached="allow")
    attached: set[str] = set()
    steps: list[tuple[Callable[[Any], None], Callable[[str], None], str]] = [
        *((system.attach, attached.add, name) for name in order),
        *((system.detach, attached.discard, name) for name in order),
    ]
    for change, note, name in steps:
        change(named.targets[name])
        note(name)
        for probe, within in _WITHIN.items():
            with named.make(probe) as session:
                box = cupboard.Box(items=[cupboard.Item()])
                session.add(box)
                session.flush()
                assert box.size == (1 if within & attached else 0), (name, probe, attached)
                session.rollback()
    assert left_on(engine) == []
    for target in (named.app.class_, named.scoped.session_factory.class_, named.targets["own"], Session):
        assert left_on(target) == []


def test_detaching_one_of_several_systems_leaves_the_others(engine: Engine) -> None:
    one, other = Cupboard(), Cupboard()
    for table in other.Base.metadata.tables.values():
        table.name = f"other_{table.name}"
    one.Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    first = iq.System(sessions, base=one.Base)
    second = iq.System(sessions, base=iq.compile_schema(other.Base.metadata))
    use(one, sessions())
    second.detach(sessions)
    use(one, sessions())
    assert left_on(engine)
    if engine.dialect.name == "sqlite":
        with sessions() as session:
            raw: Any = session.connection().connection.dbapi_connection
            assert raw.in_transaction  # still begins as a writer
    assert first.check().ok
    first.detach(sessions)
    assert left_on(engine) == left_on(sessions.class_) == []


def test_an_engine_that_other_sessions_use_is_kept(engine: Engine) -> None:
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    first, second = sessionmaker(engine), sessionmaker()
    system = iq.System(first, base=cupboard.Base)
    system.attach(second)
    second.configure(bind=engine)
    use(cupboard, second())
    system.detach(first)
    use(cupboard, second())
    assert system.check().ok
    system.detach(second)
    assert left_on(engine) == []


def test_a_sqlite_connection_is_the_drivers_again(engine_for: Any) -> None:
    """What is on open connections: foreign keys stay checked, and transactions begin as they did."""
    engine: Engine = engine_for("pysqlite")
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=cupboard.Base)
    use(cupboard, sessions())
    system.detach(sessions)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        raw: Any = connection.connection.dbapi_connection
        assert not raw.in_transaction
        connection.exec_driver_sql("INSERT INTO note (id) VALUES (1)")
        assert raw.in_transaction
        connection.rollback()
        assert connection.exec_driver_sql("SELECT id FROM note").all() == []


def test_systems_that_are_dropped_are_collected(engine: Engine) -> None:
    """Without a detach: with the factory, everything goes."""
    held: list[weakref.ref[Any]] = []
    for _ in range(3):
        cupboard = Cupboard()
        cupboard.Base.metadata.create_all(engine)
        sessions = sessionmaker(engine)
        system = iq.System(sessions, base=cupboard.Base, unattached="allow")
        use(cupboard, sessions())
        held += map(weakref.ref, (system, system._engine._listeners, sessions.class_))
        del system, sessions, cupboard
    gc.collect()
    assert [found for found in held if found() is not None] == []


def test_a_session_that_is_dropped_frees_its_connection(engine: Engine) -> None:
    cupboard = Cupboard()
    system = cupboard.system(engine)
    session = system.session_factory()
    session.add(cupboard.Item(box_id=1))
    session.flush()
    gone = weakref.ref(session)
    session.close()
    del session
    gc.collect()
    assert gone() is None
    assert not list(system._engine._listeners._sessions)
    assert system.check().ok


async def test_asynchronous_factories(async_engine: AsyncEngine) -> None:
    class Own(AsyncSession):
        class sync_session_class(Session):  # noqa: N801
            pass

    cupboard = Cupboard()
    async with async_engine.begin() as connection:
        await connection.run_sync(cupboard.Base.metadata.create_all)
    sessions, others = async_sessionmaker(async_engine), async_sessionmaker(async_engine, class_=Own)
    system = iq.AsyncSystem(sessions, base=cupboard.Base)
    for target in (others, Own):
        system.attach(target)
        async with others() as own:
            await own.run_sync(lambda sync: use(cupboard, sync))
        system.detach(target)
    async with sessions() as session:
        await session.run_sync(lambda sync: use(cupboard, sync))
    assert (await system.check()).ok
    system.detach(sessions)
    assert left_on(async_engine.sync_engine) == []
    assert left_on(Own.sync_session_class) == []
