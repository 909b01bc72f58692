"""What the engine needs of a connection, and what it refuses: AUTOCOMMIT, snapshots, the wrong database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Delete, Engine, Insert, Update, delete, event, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import interaqt_sa as iq
from tests.engine.ledger import Account, Entry
from tests.engine.ledger import Base as LedgerBase
from tests.engine.schedules import assert_true
from tests.engine.shop import Base, Customer, Item, Order, Product, Review, Supplier
from tests.support.engines import AsyncEngineFactory, EngineFactory

WRITES: dict[str, Callable[[Session], object]] = {
    "new object": lambda s: s.add(Entry(id=2, account_id=1, amount=1)),
    "changed object": lambda s: setattr(s.get_one(Entry, 1), "amount", 2),
    "deleted object": lambda s: s.delete(s.get_one(Entry, 1)),
    "insert": lambda s: s.execute(insert(Entry).values(id=3, account_id=1, amount=1)),
    "update": lambda s: s.execute(update(Entry).values(amount=2)),
    "delete": lambda s: s.execute(delete(Entry)),
}


def run(write: Callable[[Session], object], session: Session) -> None:
    write(session)
    session.flush()


def _ledger(engine: Engine) -> iq.System:
    LedgerBase.metadata.create_all(engine)
    system = iq.System(engine, base=LedgerBase)
    with system.session_factory.begin() as session:
        session.add(Account(id=1, entries=[Entry(id=1, amount=10)]))
    return system


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("how", ["create_engine", "execution options", "driver"])
@pytest.mark.parametrize("driver", ["psycopg", "pysqlite"])
def test_autocommit_is_refused_before_anything_is_written(
    engine_for: EngineFactory, driver: str, how: str, write: str
) -> None:
    system = _ledger(engine_for(driver))
    if how == "create_engine":
        engine = engine_for(driver, isolation_level="AUTOCOMMIT")
    elif how == "execution options":
        engine = engine_for(driver).execution_options(isolation_level="AUTOCOMMIT")
    elif driver == "psycopg":
        engine = engine_for(driver, connect_args={"autocommit": True})
    else:
        return  # the system itself takes sqlite3's transactions into its own hands
    careless = iq.System(engine, base=LedgerBase)
    with careless.session_factory() as session:
        with pytest.raises(iq.TransactionCapabilityError, match="AUTOCOMMIT"):
            run(WRITES[write], session)
        session.rollback()
    with system.session_factory() as session:
        assert session.scalars(select(Entry.amount)).all() == [10]
    assert_true(system)


@pytest.fixture(params=["REPEATABLE READ", "SERIALIZABLE"])
def snapshots(request: pytest.FixtureRequest, engine_for: EngineFactory, postgres_url: str) -> iq.System:
    """Return a system over a shop with one item, whose transactions see snapshots."""
    Base.metadata.create_all(engine_for("psycopg"))
    system = iq.System(engine_for("psycopg", isolation_level=request.param), base=Base)
    with system.session_factory.begin() as session:
        order = Order(id=1, customer=Customer(id=1))
        session.add(Item(id=1, order=order, product=Product(id=1, price=1, supplier=Supplier(id=1))))
    return system


CHANGES_OF_NEIGHBOURS: dict[str, Callable[[Session], object]] = {
    "price": lambda s: setattr(s.get_one(Product, 1), "price", 5),
    "supplier": lambda s: setattr(s.get_one(Supplier, 1), "active", False),
    "rating": lambda s: s.add(Review(id=1, product_id=1, stars=5)),
    "bulk": lambda s: s.execute(update(Product).values(price=5)),
}


@pytest.mark.parametrize("change", CHANGES_OF_NEIGHBOURS)
def test_a_snapshot_is_refused_where_members_must_be_discovered(snapshots: iq.System, change: str) -> None:
    with snapshots.session_factory() as session:
        session.scalar(select(Item.id))
        with pytest.raises(iq.TransactionCapabilityError, match=r"READ COMMITTED.*isolation="):
            run(CHANGES_OF_NEIGHBOURS[change], session)
        session.rollback()
    assert_true(snapshots)


def test_a_snapshot_serves_where_nothing_is_discovered(snapshots: iq.System) -> None:
    with snapshots.session_factory.begin() as session:
        session.scalar(select(Item.id))
        session.add(Item(id=2, order_id=1, product_id=1, amount=4))
        session.get_one(Item, 1).done = True
    with snapshots.session_factory() as session:
        assert session.get_one(Customer, 1).spent == 5
    assert_true(snapshots)


def test_a_snapshot_that_another_writer_has_overtaken_fails_and_is_retried(snapshots: iq.System) -> None:
    overtaken = 0

    def work(session: Session) -> None:
        nonlocal overtaken
        session.scalar(select(Item.id))
        if not overtaken:
            overtaken += 1
            with snapshots.session_factory.begin() as other:
                other.add(Item(id=3, order_id=1, product_id=1, amount=10))
        session.add(Item(id=2, order_id=1, product_id=1, amount=4))

    iq.run_with_transaction_retry(snapshots.session_factory, work)
    with snapshots.session_factory() as session:
        assert session.get_one(Customer, 1).spent == 15
    assert_true(snapshots)


@pytest.mark.postgres
@pytest.mark.parametrize("write", WRITES)
def test_locking_reads_go_where_writes_go(engine_for: EngineFactory, write: str) -> None:
    """Readers are a database of their own here; a lock there would keep nobody out."""
    writer, reader = engine_for("psycopg"), engine_for("psycopg")
    _ledger(writer)
    seen: list[str] = []
    event.listen(reader, "before_cursor_execute", lambda *args: seen.append(args[2]))

    class Routed(Session):
        def get_bind(self, mapper: Any = None, *, clause: Any = None, **kw: Any) -> Engine:
            return writer if self._flushing or isinstance(clause, (Insert, Update, Delete)) else reader

    factory = sessionmaker(class_=Routed)
    system = iq.System(factory, base=LedgerBase)
    with factory.begin() as session:
        WRITES[write](session)
    assert all(statement.startswith("SELECT") and " FOR " not in statement for statement in seen), seen
    assert_true(system)


@pytest.mark.postgres
def test_an_engine_for_each_class(engine_for: EngineFactory) -> None:
    engine = engine_for("psycopg")
    _ledger(engine)
    factory = sessionmaker(binds={LedgerBase: engine})
    iq.System(factory, base=LedgerBase)
    for write in WRITES.values():
        with factory.begin() as session:
            write(session)
    with factory() as session:
        assert session.get_one(Account, 1).entry_count == 0


@pytest.mark.postgres
def test_two_engines_in_one_computation_are_refused(engine_for: EngineFactory) -> None:
    engine, other = engine_for("psycopg"), engine_for("psycopg")
    _ledger(engine)
    factory = sessionmaker(binds={Account: engine, Entry: other})
    iq.System(factory, base=LedgerBase)
    with factory() as session:
        session.add(Account(id=2, entries=[Entry(id=2, amount=1)]))
        with pytest.raises(iq.TransactionCapabilityError, match="two engines"):
            session.flush()


@pytest.mark.filterwarnings("ignore::interaqt_sa.UnattachedWriteWarning")
def test_detached_and_foreign_sessions_are_left_alone(engine_for: EngineFactory) -> None:
    engine = engine_for("pysqlite")
    system = _ledger(engine)
    mine, theirs = sessionmaker(engine), sessionmaker(engine)
    system.attach(mine)
    system.attach(mine)
    with mine.begin() as session:
        session.add(Entry(id=2, account_id=1, amount=5))
    system.detach(mine)
    for factory in (mine, theirs):
        with factory.begin() as session:
            session.add(Entry(account_id=1, amount=100))
            session.connection().execute(insert(Entry.__table__), {"account_id": 1, "amount": 1})
    with theirs() as session:
        assert session.get_one(Account, 1).entry_count == 2
    assert len(system.repair().differences) == 3
    assert_true(system)


def test_scoped_sessions_take_part(engine_for: EngineFactory) -> None:
    engine = engine_for("pysqlite")
    _ledger(engine)
    registry = scoped_session(sessionmaker(engine))
    system = iq.System(registry, base=LedgerBase)
    registry.add(Entry(id=2, account_id=1, amount=5))
    registry.commit()
    registry.remove()
    assert_true(system)


async def test_an_async_session_class_of_the_application_takes_part(async_engine: AsyncEngine) -> None:
    class Sync(Session):
        pass

    class Own(AsyncSession):
        sync_session_class = Sync

    async with async_engine.begin() as connection:
        await connection.run_sync(LedgerBase.metadata.create_all)
    factory = async_sessionmaker(async_engine, class_=Own, expire_on_commit=False)
    system = iq.AsyncSystem(factory, base=LedgerBase)
    async with factory.begin() as session:
        account = Account(id=1, entries=[Entry(id=1, amount=10)])
        session.add(account)
        await session.flush()
        assert account.balance == 10  # without awaiting anything
        async with session.begin_nested() as savepoint:
            await session.execute(update(Entry).values(amount=3))
            assert account.balance == 3
            await savepoint.rollback()
        assert account.balance == 10
    assert (await system.check()).ok


@pytest.mark.postgres
async def test_asyncpg_in_autocommit_is_refused(async_engine_for: AsyncEngineFactory) -> None:
    engine = async_engine_for("asyncpg", isolation_level="AUTOCOMMIT")
    async with engine.begin() as connection:
        await connection.run_sync(LedgerBase.metadata.create_all)
    system = iq.AsyncSystem(engine, base=LedgerBase)
    async with system.session_factory() as session:
        session.add(Account(id=1, entries=[Entry(id=1, amount=10)]))
        with pytest.raises(iq.TransactionCapabilityError, match="AUTOCOMMIT"):
            await session.flush()
        await session.rollback()
        assert await session.scalar(text("SELECT count(*) FROM entry")) == 0
