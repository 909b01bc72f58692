"""Systems on sessionmakers: attached, detached, several at once; sessions that they leave alone."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, event, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
)

from interaqt_sa import AsyncSystem, Count, FrameworkError, System, computed
from tests.declarative.kept import Keep
from tests.declarative.shop import Base, Customer, Note, Order
from tests.support.statements import count_statements

#: what sessions write that are not attached, or not any more, is heard
pytestmark = pytest.mark.filterwarnings("ignore::interaqt_sa.UnattachedWriteWarning")


@pytest.fixture
def shop(engine: Engine) -> Engine:
    Base.metadata.create_all(engine)
    return engine


def order_counts(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(select(Customer.order_count).order_by(Customer.id)))


def add_customer(session: Session) -> None:
    with session.begin():
        session.add(Customer(name="x", orders=[Order()]))


def test_attaching_twice_is_attaching_once(shop: Engine) -> None:
    sessions = sessionmaker(shop)
    system = System(sessions, base=Base)
    with count_statements(shop) as once:
        add_customer(sessions())
    system.attach(sessions)
    with count_statements(shop) as twice:
        add_customer(sessions())
    assert twice == once
    assert order_counts(shop) == [1, 1]


def test_a_class_and_what_is_made_of_it_are_attached_once(shop: Engine) -> None:
    class Sessions(Session):
        pass

    made = sessionmaker(shop, class_=Sessions)
    system = System(made, base=Base)
    system.attach(Sessions)
    add_customer(made())
    add_customer(Sessions(shop))
    assert order_counts(shop) == [1, 1]
    system.attach(made)
    add_customer(made())
    assert order_counts(shop) == [1, 1, 1]
    system.detach(Sessions)
    add_customer(made())
    assert order_counts(shop) == [1, 1, 1, 1]


def test_a_second_system_of_the_same_sessions_is_refused(shop: Engine) -> None:
    class Sessions(Session):
        pass

    made = sessionmaker(shop, class_=Sessions)
    first = System(made, base=Base)
    for target in (made, scoped_session(made), Sessions):
        with pytest.raises(FrameworkError, match=r"another System of this MetaData.*detach"):
            System(sessionmaker(shop), base=Base).attach(target)
    with pytest.raises(FrameworkError, match="the sessions of this sessionmaker are already attached to"):
        System(made, base=Base)
    with pytest.raises(FrameworkError, match=r"the sessions of [\w.]+<locals>\.Sessions are already attached"):
        System(Sessions, base=Base).attach(Sessions)
    add_customer(made())
    first.detach(made)
    System(made, base=Base)
    add_customer(made())
    assert order_counts(shop) == [1, 1]


def test_what_makes_no_sessions_is_not_attached(shop: Engine) -> None:
    system: Any = System(sessionmaker(shop), base=Base)
    for target in (Session(shop), object(), Base):
        with pytest.raises(TypeError, match=r"attach\(\) takes a sessionmaker"):
            system.attach(target)


def test_detaching_undoes_attaching(shop: Engine) -> None:
    sessions, others = sessionmaker(shop), sessionmaker(shop)
    system = System(sessions, base=Base)
    system.attach(others)
    add_customer(others())
    system.detach(others)
    system.detach(others)
    add_customer(others())
    add_customer(sessions())
    assert order_counts(shop) == [1, 0, 1]
    assert system.repair().differences[0].expected == 1
    assert order_counts(shop) == [1, 1, 1]


def test_two_sessionmakers_on_one_system(shop: Engine) -> None:
    first, second = sessionmaker(shop), sessionmaker(shop, autoflush=False)
    System(first, base=Base).attach(second)
    add_customer(first())
    add_customer(second())
    assert order_counts(shop) == [1, 1]


def test_a_session_class_may_be_attached(shop: Engine) -> None:
    class OwnSession(Session):
        pass

    system = System(shop, base=Base)
    system.attach(OwnSession)
    add_customer(OwnSession(shop))
    add_customer(Session(shop))
    assert order_counts(shop) == [1, 0]


def test_scoped_sessions(shop: Engine) -> None:
    scoped = scoped_session(sessionmaker(shop))
    system = System(scoped, base=Base)
    scoped.add(Customer(name="x", orders=[Order(), Order()]))
    scoped.commit()
    scoped.execute(insert(Order), [{"customer_id": 1}])
    scoped.commit()
    scoped.remove()
    assert order_counts(shop) == [3]
    assert system.check().ok


async def test_asynchronous_sessionmakers(async_engine: AsyncEngine) -> None:
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(async_engine, expire_on_commit=False)
    strangers = async_sessionmaker(async_engine)
    system = AsyncSystem(sessions, base=Base)
    async with sessions.begin() as session:
        customer = Customer(name="x", orders=[Order(), Order(paid=True)])
        session.add(customer)
        await session.flush()
        assert (customer.order_count, customer.all_paid) == (2, False)
        await session.execute(insert(Order), [{"customer_id": customer.id, "total": 8}])
    assert customer.order_count == 3
    async with sessions() as session:
        assert (await session.get_one(Customer, 1)).spent == 10
    assert (await system.check()).ok
    async with strangers.begin() as session:
        session.add(Order(customer_id=1))
    assert not (await system.check()).ok
    assert (await system.repair()).differences
    assert (await system.check()).ok


async def test_an_asynchronous_sessionmaker_that_gets_its_engine_later(async_engine: AsyncEngine) -> None:
    sessions = async_sessionmaker(expire_on_commit=False)
    system = AsyncSystem(sessions, base=Base)
    sessions.configure(bind=async_engine)
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions.begin() as session:
        session.add(Customer(name="x", orders=[Order()]))
    assert (await system.check()).ok
    assert (await system.repair()).ok
    assert system.schema.dialect is not None


async def test_asynchronous_scoped_sessions_and_session_classes(async_engine: AsyncEngine) -> None:
    class OwnSync(Session):
        pass

    class OwnAsync(AsyncSession):
        sync_session_class = OwnSync

    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(async_engine, class_=OwnAsync)
    system = AsyncSystem(sessions, base=Base)
    scoped = async_scoped_session(sessions, scopefunc=lambda: 1)
    scoped.add(Customer(name="x", orders=[Order()]))
    await scoped.commit()
    assert isinstance(scoped().sync_session, OwnSync)
    await scoped.remove()
    assert (await system.check()).ok
    async with AsyncSession(async_engine, sync_session_class=OwnSync) as session, session.begin():
        session.add(Order(customer_id=1))
    assert not (await system.check()).ok


# -- several systems --------------------------------------------------------------------------------------------------


class OtherBase(DeclarativeBase):
    pass


class Room(OtherBase):
    __tablename__ = "room"

    id: Mapped[int] = mapped_column(primary_key=True)
    beds: Mapped[list[Bed]] = relationship()
    bed_count: Mapped[int] = computed(Count("beds"))


class Bed(OtherBase):
    __tablename__ = "bed"

    id: Mapped[int] = mapped_column(primary_key=True)
    room_id: Mapped[int] = mapped_column(ForeignKey("room.id"))


def test_two_systems_in_one_process_and_in_one_session(shop: Engine) -> None:
    OtherBase.metadata.create_all(shop)
    sessions = sessionmaker(shop)
    first, second = System(sessions, base=Base), System(sessions, base=OtherBase)
    with sessions.begin() as session:
        session.add_all([Customer(name="x", orders=[Order()]), Room(beds=[Bed(), Bed()])])
        session.flush()
        session.execute(insert(Order), [{"customer_id": 1}])
        session.execute(insert(Bed), [{"room_id": 1}])
    with sessions() as session:
        assert session.scalars(select(Customer.order_count)).all() == [2]
        assert session.scalars(select(Room.bed_count)).all() == [3]
    assert first.check().ok
    assert second.check().ok
    second.detach(sessions)
    with sessions.begin() as session:
        session.add_all([Order(customer_id=1), Bed(room_id=1)])
    assert first.check().ok
    assert [(d.stored, d.expected) for d in second.check().differences] == [(3, 4)]


def test_a_system_knows_only_its_own_models(shop: Engine) -> None:
    system = System(shop, base=OtherBase)
    assert {record.name for record in system.schema.records} == {"Bed", "Room"}


@pytest.mark.parametrize("base", [None, DeclarativeBase])
def test_what_a_system_would_not_keep_is_refused(shop: Engine, base: type[DeclarativeBase] | None) -> None:
    """A forgotten base, and a wrong one, would leave all values as they are, in silence."""
    other = None if base is None else type("Other", (base,), {})
    sessions = sessionmaker(shop)
    System(sessions, base=other)
    for written in (Order(), Customer(name="x")):
        with sessions() as session:
            session.add(written)
            with pytest.raises(FrameworkError, match=r"pass the base: System\(…, base=Base\)"):
                session.flush()
    System(sessions, base=Base)
    add_customer(sessions())
    assert order_counts(shop) == [1]


def test_registries_that_share_a_metadata_share_a_system(keep: Keep) -> None:
    class One(DeclarativeBase):
        pass

    class Two(DeclarativeBase):
        metadata = One.metadata

    class Floor(One):
        __tablename__ = "floor"
        id: Mapped[int] = mapped_column(primary_key=True)
        doors: Mapped[list[Any]] = relationship(lambda: Door, viewonly=True)
        door_count: Mapped[int] = computed(Count("doors"))

    class Door(Two):
        __tablename__ = "door"
        id: Mapped[int] = mapped_column(primary_key=True)
        floor_id: Mapped[int] = mapped_column(ForeignKey("floor.id"))

    kept = keep(One)
    with kept.begin() as session:
        session.add(Floor())
        session.flush()
        session.add(Door(floor_id=1))
    assert kept.stored(Floor.id, Floor.door_count) == [(1, 1)]


# -- what is left alone -----------------------------------------------------------------------------------------------


def test_sessions_that_touch_nothing_managed_send_nothing_of_ours(shop: Engine) -> None:
    sessions, plain = sessionmaker(shop), sessionmaker(shop)
    System(sessions, base=Base)
    texts = []
    for factory in (plain, sessions):
        with count_statements(shop) as statements, factory() as session:
            note = Note(text="a")
            session.add(note)
            session.flush()
            note.text = "b"
            session.execute(insert(Note), [{"text": "c"}])
            session.delete(note)
            with session.begin_nested():
                session.add(Note(text="d"))
            session.rollback()
        texts.append(statements)
    assert texts[0] == texts[1]


def test_reading_managed_rows_sends_nothing_of_ours(shop: Engine) -> None:
    sessions = sessionmaker(shop)
    System(sessions, base=Base)
    add_customer(sessions())
    with count_statements(shop) as statements, sessions() as session:
        customer = session.get_one(Customer, 1)
        assert customer.orders[0].customer.order_count == 1
        customer.name = "other"
        session.commit()
    assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT", "UPDATE"]


def test_what_a_system_held_is_let_go_with_it(engine: Engine) -> None:
    sessions = sessionmaker(engine)
    Base.metadata.create_all(engine)
    system = System(sessions, base=Base)
    add_customer(sessions())
    system.detach(sessions)
    gone: Any = weakref.ref(sessions())
    gc.collect()
    assert gone() is None
    assert not event.contains(sessions.class_, "before_flush", system._engine._listeners._before_flush)
