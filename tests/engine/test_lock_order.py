"""Rows are locked in one order, whatever is written: members, hosts, and rows that nothing is computed from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, event, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true, engine_of
from tests.engine.workload import Conflicts
from tests.support.engines import EngineFactory
from tests.support.statements import count_statements
from tests.support.torture import Torture

pytestmark = pytest.mark.postgres

_UNSYNCHRONIZED = {"synchronize_session": False}


class Base(DeclarativeBase):
    pass


class Region(Base):
    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    open: Mapped[bool] = mapped_column(default=True)


class Shop(Base):
    """What it counts depends on the region to which it refers itself."""

    __tablename__ = "shop"
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int] = mapped_column(ForeignKey("region.id"), index=True)
    note: Mapped[str] = mapped_column(default="")
    n: Mapped[int] = iq.computed(iq.Count("sales", where={"shop.region.open": True}))
    region: Mapped[Region] = relationship()
    sales: Mapped[list[Sale]] = relationship(back_populates="shop")


class Sale(Base):
    __tablename__ = "sale"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shop.id"), index=True)
    note: Mapped[str] = mapped_column(default="")
    shop: Mapped[Shop] = relationship(back_populates="sales")


class Visit(Base):
    """Nothing is computed from it."""

    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)
    shop_id: Mapped[int] = mapped_column(ForeignKey("shop.id"), index=True)
    note: Mapped[str] = mapped_column(default="")


class Guest(Base):
    """Nor from it."""

    __tablename__ = "guest"
    id: Mapped[int] = mapped_column(primary_key=True)
    visit_id: Mapped[int] = mapped_column(ForeignKey("visit.id"), index=True)
    name: Mapped[str] = mapped_column(default="")


@pytest.fixture
def system(make_postgres_system: MakeSystem) -> iq.System:
    """Return a system with two regions; the first has two shops, and only the first of these sells."""
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Region(id=1), Region(id=2)])
        session.flush()
        session.add_all([Shop(id=1, region_id=1), Shop(id=2, region_id=1)])
        session.flush()
        session.add_all([Sale(id=100, shop_id=1), Visit(id=1, shop_id=1)])
        session.flush()
        session.add(Guest(id=1, visit_id=1))
    return system


def _locks(statements: list[str]) -> list[str]:
    """Return the tables of locking statements, in order."""
    return [s.split("FOR ")[1].split(" OF ")[1] for s in statements if "FOR " in s and " OF " in s]


def _close_region(session: Session) -> None:
    session.get_one(Region, 1).open = False


def _close_regions(session: Session) -> None:
    session.execute(update(Region).where(Region.id < 9).values(open=False), execution_options=_UNSYNCHRONIZED)


@pytest.mark.parametrize("close", [_close_region, _close_regions])
def test_a_host_that_refers_to_what_changes_is_locked_before_it(
    system: iq.System, close: Callable[[Session], None]
) -> None:
    """Who changes the shop locks the shop, then its region: so must who changes the region."""
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        close(session)
        session.flush()
        sent = list(statements)
    assert _locks(sent)[:2] == ["shop", "region"], sent
    assert_true(system)


def test_locks_are_given_back_when_another_host_comes_in_between(system: iq.System) -> None:
    """A shop that begins to sell after the shops were looked for must still be locked before the region."""
    engine = engine_of(system)
    sold = threading.Event()

    @event.listens_for(engine, "after_cursor_execute")
    def sell(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "DISTINCT" in statement and not sold.is_set():
            sold.set()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(_sell_in_second_shop, system).result(10)

    try:
        with count_statements(engine) as statements, system.session_factory.begin() as session:
            _close_region(session)
            session.flush()
            sent = list(statements)
    finally:
        event.remove(engine, "after_cursor_execute", sell)
    back = next(n for n, statement in enumerate(sent) if statement.startswith("ROLLBACK TO SAVEPOINT"))
    assert _locks(sent[back:])[:2] == ["shop", "region"], sent
    with system.session_factory() as session:
        assert session.scalars(select(Shop.n)).all() == [0, 0]
    assert_true(system)


def _sell_in_second_shop(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        session.add(Sale(shop_id=2))


def test_columns_that_nobody_reads_have_their_place_too(system: iq.System) -> None:
    """The unit of work updates shops before sales, the engine locks sales before shops."""
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        shop, sale = session.get_one(Shop, 1), session.get_one(Sale, 100)
        statements.clear()
        shop.note = sale.note = "new"
        session.flush()
        sent = list(statements)
    assert _locks(sent) == ["sale"], sent
    assert len(sent) == 3


def test_tables_that_nothing_is_computed_from_come_first(system: iq.System) -> None:
    """Here the unit of work would update the shop before the visit."""
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        shop, visit = session.get_one(Shop, 1), session.get_one(Visit, 1)
        statements.clear()
        shop.note = visit.note = "new"
        session.flush()
        sent = list(statements)
    assert _locks(sent) == ["visit"], sent


def test_a_flush_that_writes_nothing_else_sends_nothing_more(system: iq.System) -> None:
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        visit, guest, sale = session.get_one(Visit, 1), session.get_one(Guest, 1), session.get_one(Sale, 100)
        statements.clear()
        visit.note = guest.name = "new"
        session.flush()
        assert len(statements) == 2, statements
        statements.clear()
        sale.note = "alone"
        session.flush()
        assert len(statements) == 1, statements


class Plain(DeclarativeBase):
    pass


class Album(Plain):
    __tablename__ = "album"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = iq.computed(iq.Count("photos"))
    photos: Mapped[list[Photo]] = relationship()


class Photo(Plain):
    __tablename__ = "photo"
    id: Mapped[int] = mapped_column(primary_key=True)
    album_id: Mapped[int] = mapped_column(ForeignKey("album.id"), index=True)


class Viewer(Plain):
    __tablename__ = "viewer"
    id: Mapped[int] = mapped_column(primary_key=True)
    seen: Mapped[int] = mapped_column(default=0)


def test_a_new_member_beside_a_row_that_nobody_reads_costs_no_lock(make_postgres_system: MakeSystem) -> None:
    """What the unit of work has locked by then comes before the album."""
    system = make_postgres_system(Plain)
    with system.session_factory.begin() as session:
        session.add_all([Album(id=1), Viewer(id=1)])
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        viewer = session.get_one(Viewer, 1)
        statements.clear()
        viewer.seen = 1
        session.add(Photo(album_id=1))
        session.flush()
        sent = list(statements)
    assert len(sent) == 3, sent
    assert_true(system)


class Billing(DeclarativeBase):
    pass


class Payer(Billing):
    __tablename__ = "payer"
    id: Mapped[int] = mapped_column(primary_key=True)
    discount: Mapped[int] = mapped_column(default=1)


class Bill(Billing):
    """It refers to payers, whose discount its entries read without it."""

    __tablename__ = "bill"
    id: Mapped[int] = mapped_column(primary_key=True)
    payer_id: Mapped[int] = mapped_column(ForeignKey("payer.id"), index=True)
    note: Mapped[str] = mapped_column(default="")
    total: Mapped[int] = iq.computed(iq.Summation("entries", "payer.discount"))
    entries: Mapped[list[Entry]] = relationship()


class Entry(Billing):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    bill_id: Mapped[int] = mapped_column(ForeignKey("bill.id"), index=True)
    payer_id: Mapped[int] = mapped_column(ForeignKey("payer.id"), index=True)
    payer: Mapped[Payer] = relationship()


def test_what_a_host_refers_to_is_locked_if_the_host_is_updated_twice(make_postgres_system: MakeSystem) -> None:
    """PostgreSQL checks its foreign keys again at the second update, when the host itself is locked already."""
    system = make_postgres_system(Billing)
    with system.session_factory.begin() as session:
        session.add_all([Payer(id=1), Payer(id=2)])
        session.flush()
        session.add(Bill(id=1, payer_id=1))
    locked: list[Any] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "OF payer" in statement:
            locked.append(parameters)

    event.listen(engine_of(system), "before_cursor_execute", note)
    try:
        with system.session_factory.begin() as session:
            session.get_one(Bill, 1).note = "new"
            session.add(Entry(bill_id=1, payer_id=2))
    finally:
        event.remove(engine_of(system), "before_cursor_execute", note)
    assert sorted(next(iter(locked[0].values()))) == [1, 2]
    assert_true(system)


# -- hosts that others read -------------------------------------------------------------------------------------------


class Read(DeclarativeBase):
    pass


class Maker(Read):
    __tablename__ = "maker"
    id: Mapped[int] = mapped_column(primary_key=True)
    factor: Mapped[int] = mapped_column(default=1)
    n: Mapped[int] = iq.computed(iq.Count("parts"))
    parts: Mapped[list[Part]] = relationship(back_populates="maker", passive_deletes=True)


class Store(Read):
    __tablename__ = "store"
    id: Mapped[int] = mapped_column(primary_key=True)
    factor: Mapped[int] = mapped_column(default=1)
    n: Mapped[int] = iq.computed(iq.Summation("parts", "maker.factor"))
    parts: Mapped[list[Part]] = relationship(back_populates="store", passive_deletes=True)


class Buyer(Read):
    __tablename__ = "buyer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[int] = mapped_column(default=1)
    n: Mapped[int] = iq.computed(iq.Summation("parts", "store.factor"))
    parts: Mapped[list[Part]] = relationship(back_populates="buyer", passive_deletes=True)


class Part(Read):
    __tablename__ = "part"
    id: Mapped[int] = mapped_column(primary_key=True)
    maker_id: Mapped[int] = mapped_column(ForeignKey("maker.id", ondelete="CASCADE"), index=True)
    store_id: Mapped[int] = mapped_column(ForeignKey("store.id", ondelete="CASCADE"), index=True)
    buyer_id: Mapped[int] = mapped_column(ForeignKey("buyer.id", ondelete="CASCADE"), index=True)
    maker: Mapped[Maker] = relationship(back_populates="parts")
    store: Mapped[Store] = relationship(back_populates="parts")
    buyer: Mapped[Buyer] = relationship(back_populates="parts")


HOSTS = 4


def _references(chance: Random) -> dict[str, int]:
    return {name: chance.randint(1, HOSTS) for name in ("maker_id", "store_id", "buyer_id")}


def _some_parts(chance: Random) -> Any:
    return update(Part).where(Part.id % 3 == chance.randint(0, 2))


def add(session: Session, chance: Random) -> None:
    session.add_all([Part(**_references(chance)) for _ in range(chance.choice([1, 3]))])


def bulk_add(session: Session, chance: Random) -> None:
    session.execute(insert(Part), [_references(chance) for _ in range(3)])


def bulk_add_values(session: Session, chance: Random) -> None:
    session.execute(insert(Part).values([_references(chance) for _ in range(3)]))


def bulk_move(session: Session, chance: Random) -> None:
    session.execute(_some_parts(chance).values(**_references(chance)), execution_options=_UNSYNCHRONIZED)


def bulk_shift(session: Session, chance: Random) -> None:
    values = (Part.maker_id, Part.maker_id % HOSTS + 1), (Part.store_id, Part.store_id % HOSTS + 1)
    session.execute(_some_parts(chance).ordered_values(*values), execution_options=_UNSYNCHRONIZED)


def bulk_delete(session: Session, chance: Random) -> None:
    some = delete(Part).where(Part.id % 5 == chance.randint(0, 4))
    session.execute(some, execution_options=_UNSYNCHRONIZED)


def change_factors(session: Session, chance: Random) -> None:
    with session.no_autoflush:
        session.get_one(Store, chance.randint(1, HOSTS)).factor = chance.randint(1, 99)
        session.get_one(Maker, chance.randint(1, HOSTS)).factor = chance.randint(1, 99)


def bulk_factors(session: Session, chance: Random) -> None:
    host: Any = chance.choice([Maker, Store])
    session.execute(update(host).values(factor=host.factor + 1), execution_options=_UNSYNCHRONIZED)


def change_all(session: Session, chance: Random) -> None:
    with session.no_autoflush:
        part = session.scalar(select(Part).offset(chance.randint(0, 9)).limit(1))
        if part is not None:
            part.buyer_id = chance.randint(1, HOSTS)
        change_factors(session, chance)
        session.get_one(Buyer, chance.randint(1, HOSTS)).name = chance.randint(1, 99)


@pytest.mark.concurrency
@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
def test_hosts_that_are_read_cause_no_deadlocks(engine_for: EngineFactory, torture: Torture) -> None:
    engine: Engine = engine_for(
        "psycopg", pool_size=torture.workers + 2, connect_args={"options": "-c deadlock_timeout=30ms"}
    )
    Read.metadata.create_all(engine)
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=Read)
    with session_factory.begin() as session:
        session.add_all([host(id=n) for n in range(1, HOSTS + 1) for host in (Maker, Store, Buyer)])
        session.flush()
        session.add_all([Part(**_references(Random(n))) for n in range(30)])
    conflicts = Conflicts(engine)

    def work(number: int) -> None:
        for turn in range(torture.rounds):
            seed = f"{number}.{turn}"
            iq.run_with_transaction_retry(session_factory, _transaction(seed), max_attempts=1000)

    with ThreadPoolExecutor(torture.workers) as pool:
        list(pool.map(work, range(torture.workers)))
    assert system.check().ok
    assert not conflicts, conflicts.details[:3]


WRITES: list[Callable[[Session, Random], None]] = [
    *[add, bulk_add, bulk_add_values, bulk_move, bulk_shift],
    *[bulk_delete, change_factors, bulk_factors, change_all],
]


def _transaction(seed: str) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        chance = Random(seed)
        try:
            chance.choice(WRITES)(session, chance)
            session.flush()
        except StaleDataError:  # another one has deleted the part
            session.rollback()

    return run
