"""Writes that go up several levels in one statement: exact where it waits, and told as any other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from sqlalchemy import ForeignKey, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true, engine_of, in_background, wait_until_blocked
from tests.engine.workload import Conflicts
from tests.support.statements import count_at_the_driver, count_statements
from tests.support.torture import Torture


class Base(DeclarativeBase):
    pass


class Region(Base):
    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    turnover: Mapped[int] = iq.computed(iq.Summation("customers", "spent"))
    all_settled: Mapped[bool] = iq.computed(iq.Every("customers", expression={"settled": True}))
    customers: Mapped[list[Customer]] = relationship(back_populates="region")


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))
    spent: Mapped[int] = iq.computed(iq.Summation("orders", "total"))
    mean: Mapped[float] = iq.computed(iq.Average("orders", "total"))
    settled: Mapped[bool] = iq.computed(iq.Every("orders", expression={"all_done": True}))
    region: Mapped[Region | None] = relationship(back_populates="customers")
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int | None] = mapped_column(ForeignKey("customer.id"))
    total: Mapped[int] = iq.computed(iq.Summation("items", "amount"))
    all_done: Mapped[bool] = iq.computed(iq.Every("items", expression={"done": True}))
    customer: Mapped[Customer | None] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
    amount: Mapped[int]
    done: Mapped[bool] = mapped_column(default=False)
    order: Mapped[Order] = relationship(back_populates="items")


def fill(session: Session) -> None:
    """Two regions, three customers, five orders, twenty items."""
    session.add_all([Region(id=1), Region(id=2)])
    session.flush()
    session.add_all([Customer(id=n, region_id=1 + n % 2) for n in (1, 2, 3)])
    session.flush()
    session.add_all([Order(id=n, customer_id=1 + n % 3) for n in range(1, 6)])
    session.flush()
    session.add_all([Item(order_id=1 + n % 5, amount=n, done=n % 3 > 0) for n in range(1, 21)])


@pytest.fixture
def chain(make_system: MakeSystem) -> iq.System:
    """Return a system over four levels."""
    system = make_system(Base)
    with system.session_factory.begin() as session:
        fill(session)
    return system


@pytest.fixture
def postgres_chain(make_postgres_system: MakeSystem) -> iq.System:
    """Return the same on PostgreSQL."""
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        fill(session)
    return system


Write = Callable[[Session], Any]


def change(session: Session) -> None:
    item = session.get_one(Item, 5)
    item.amount, item.done = 1000, True


def remove(session: Session) -> None:
    session.delete(session.get_one(Item, 5))


def change_in_bulk(session: Session) -> None:
    session.execute(update(Item).where(Item.order_id == 1).values(amount=Item.amount * 7, done=True))


def remove_in_bulk(session: Session) -> None:
    session.execute(delete(Item).where(Item.order_id == 1))


def add(session: Session) -> None:
    session.add(Item(order_id=1, amount=70, done=True))


def add_in_bulk(session: Session) -> None:
    session.execute(insert(Item), [{"order_id": 1, "amount": n} for n in range(3)])


WRITES = [change, remove, change_in_bulk, remove_in_bulk, add, add_in_bulk]


@pytest.mark.parametrize("write", WRITES)
def test_all_levels_follow_in_one_statement(postgres_chain: iq.System, write: Write) -> None:
    engine = engine_of(postgres_chain)
    with count_at_the_driver(engine) as statements, postgres_chain.session_factory.begin() as session:
        write(session)
        session.flush()
    written = [s for s in statements if any(f"UPDATE {host}" in s for host in ("order_", "customer", "region"))]
    assert len(written) == 1, statements
    assert_true(postgres_chain)


@pytest.mark.parametrize("write", WRITES)
def test_who_listens_sees_each_level(postgres_chain: iq.System, write: Write) -> None:
    with count_statements(engine_of(postgres_chain)) as statements, postgres_chain.session_factory.begin() as session:
        write(session)
        session.flush()
    begin = [s.split()[:2] for s in statements[-3:]]
    assert begin == [["UPDATE", host] for host in ("order_", "customer", "region")]
    assert_true(postgres_chain)


@pytest.mark.parametrize("write", WRITES)
def test_loaded_objects_of_all_levels_are_fresh(chain: iq.System, write: Write) -> None:
    with chain.session_factory() as session:
        order = session.get_one(Order, 1)
        loaded = [order, order.customer, order.customer and order.customer.region]
        write(session)
        session.flush()
        with count_statements(engine_of(chain)) as statements:
            assert order.customer is not None
            assert order.customer.region is not None
            seen = [order.total, order.customer.spent, order.customer.mean, order.customer.region.turnover]
        assert not statements
        session.commit()
        assert all(loaded)
    with chain.session_factory() as session:
        order = session.get_one(Order, 1)
        assert order.customer is not None
        assert order.customer.region is not None
        assert seen == [order.total, order.customer.spent, order.customer.mean, order.customer.region.turnover]
    assert_true(chain)


@pytest.mark.parametrize("write", WRITES)
def test_a_chain_that_ends_half_way(chain: iq.System, write: Write) -> None:
    for table, column in ((Customer, Customer.region_id), (Order, Order.customer_id)):
        with chain.session_factory.begin() as session:
            session.execute(update(table).values({column: None}))
        with chain.session_factory.begin() as session:
            write(session)
        assert_true(chain)
        with chain.session_factory.begin() as session:
            session.merge(Item(id=5, order_id=1, amount=3, done=False))


@pytest.mark.parametrize("write", WRITES)
def test_a_change_that_ends_at_the_first_level(chain: iq.System, write: Write) -> None:
    """Nothing above feels that one amount replaces another."""
    with chain.session_factory.begin() as session:
        other = session.get_one(Item, 10)
        other.amount += 3
        session.get_one(Item, 5).amount -= 3
    assert_true(chain)
    with chain.session_factory.begin() as session:
        write(session)
    assert_true(chain)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("level", ["customer", "region"])
def test_a_host_that_becomes_visible_while_the_statement_waits(
    postgres_chain: iq.System, level: str, write: Write
) -> None:
    """One snapshot misses it: the levels above are served by a statement of their own."""
    with postgres_chain.session_factory() as one:
        if level == "customer":
            one.add(Customer(id=9, region_id=2))
            one.get_one(Order, 1).customer_id = 9
        else:
            one.add(Region(id=9))
            one.flush()
            one.get_one(Customer, one.get_one(Order, 1).customer_id).region_id = 9
        one.flush()

        def work() -> None:
            with postgres_chain.session_factory.begin() as session:
                write(session)

        with in_background(work):
            wait_until_blocked(engine_of(postgres_chain))
            one.commit()
    assert_true(postgres_chain)


def _told(system: iq.System, write: Write) -> list[tuple[Any, ...]]:
    def resolve(ctx: iq.DispatchContext, _: Any) -> None:
        write(ctx.session)
        ctx.session.flush()

    source = iq.EventSource("write", _event, resolve=resolve)
    controller = iq.Controller(system, event_sources=[source], raise_errors=True)
    controller.setup(install=True)
    effects = controller.dispatch(source, {}).effects
    controller.teardown()
    told = [
        (e.record_name, e.type, sorted(e.keys or ()), dict(e.record), dict(e.old_record or {}))
        for e in effects
        if e.record_name in {"Order", "Customer", "Region"}
    ]
    assert {name for name, *_ in told} == {"Order", "Customer", "Region"}
    return told


_event = iq.Entity("Happening", properties=[iq.Property("note", "string")])


@pytest.mark.postgres
@pytest.mark.parametrize("write", WRITES)
def test_the_events_of_all_levels_are_those_of_single_statements(
    engine_for: Any, make_postgres_system: MakeSystem, write: Write
) -> None:
    fused = make_postgres_system(Base)
    single = iq.System(engine_for("pysqlite"), base=Base)
    Base.metadata.create_all(engine_for("pysqlite"))
    for system in (fused, single):
        with system.session_factory.begin() as session:
            fill(session)
    assert _told(fused, write) == _told(single, write)


def _some_item(session: Session) -> Item | None:
    return session.scalar(select(Item).order_by(func.random()).limit(1))


def _write(session: Session, random: Random) -> None:
    kind, order, amount = random.randrange(9), random.randint(1, 5), random.randint(1, 90)
    item = _some_item(session)
    if kind == 0 or item is None:
        session.add(Item(order_id=order, amount=amount))
    elif kind in (1, 2):
        item.amount, item.done = amount, not item.done
    elif kind == 3:
        item.order_id = order
    elif kind == 4:
        session.delete(item)
    elif kind == 5:
        session.execute(update(Item).where(Item.order_id == order).values(amount=Item.amount + 1))
    elif kind == 6:
        session.get_one(Order, order).customer_id = random.choice([None, 1, 2, 3])
    elif kind == 7:
        session.get_one(Customer, random.randint(1, 3)).region_id = random.choice([None, 1, 2])
    else:
        session.execute(insert(Item), [{"order_id": order, "amount": n} for n in range(3)])


@pytest.mark.concurrency
@pytest.mark.filterwarnings("ignore:DELETE statement on table:sqlalchemy.exc.SAWarning")
def test_many_writers_of_one_chain(postgres_chain: iq.System, torture: Torture) -> None:
    conflicts = Conflicts(engine_of(postgres_chain))

    def work(number: int) -> None:
        for turn in range(torture.rounds):

            def attempt(session: Session, seed: str = f"{number}.{turn}") -> None:
                try:
                    _write(session, Random(seed))
                    session.flush()
                except (StaleDataError, IntegrityError):
                    session.rollback()

            iq.run_with_transaction_retry(postgres_chain.session_factory, attempt)

    with ThreadPoolExecutor(torture.workers) as pool:
        for future in [pool.submit(work, number) for number in range(torture.workers)]:
            future.result()
    assert_true(postgres_chain)
    assert not conflicts, (conflicts, conflicts.details)


class Means(DeclarativeBase):
    pass


class Upper(Means):
    __tablename__ = "upper"
    id: Mapped[int] = mapped_column(primary_key=True)
    mean: Mapped[float] = iq.computed(iq.Average("middles", "mean"))
    middles: Mapped[list[Middle]] = relationship()


class Middle(Means):
    __tablename__ = "middle"
    id: Mapped[int] = mapped_column(primary_key=True)
    upper_id: Mapped[int] = mapped_column(ForeignKey("upper.id"))
    mean: Mapped[float] = iq.computed(iq.Average("lowers", "amount"))
    lowers: Mapped[list[Lower]] = relationship()


class Lower(Means):
    __tablename__ = "lower"
    id: Mapped[int] = mapped_column(primary_key=True)
    middle_id: Mapped[int] = mapped_column(ForeignKey("middle.id"))
    amount: Mapped[int]


def test_a_mean_of_means_contributes_what_is_stored(make_system: MakeSystem) -> None:
    system = make_system(Means)
    with system.session_factory.begin() as session:
        session.add(Upper(id=1))
        session.flush()
        session.add(Middle(id=1, upper_id=1))
        session.flush()
        session.add_all([Lower(id=n, middle_id=1, amount=amount) for n, amount in enumerate([1, 1, 0])])
    for amounts in ([1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 0]):
        for n, amount in enumerate(amounts):
            with system.session_factory.begin() as session:
                session.get_one(Lower, n).amount = amount
    with system.session_factory() as session:
        assert session.get_one(Upper, 1).mean == pytest.approx(0, abs=1e-9)
    if engine_of(system).dialect.name == "postgresql":  # elsewhere sums of floats are floats
        assert_true(system)
