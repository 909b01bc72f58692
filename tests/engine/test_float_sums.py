"""Sums and means of floats are those of their shortest decimals: in any order, on any route, and 0 at the end."""

from __future__ import annotations

import math
import random
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Double,
    Engine,
    ForeignKey,
    MetaData,
    Numeric,
    Table,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true, engine_of
from tests.support.engines import EngineFactory

#: values are broken on purpose, past every session
pytestmark = pytest.mark.filterwarnings("ignore:this SQL text:interaqt_sa.UnattachedWriteWarning")


class Base(DeclarativeBase):
    pass


class Site(Base):
    __tablename__ = "site"
    id: Mapped[int] = mapped_column(primary_key=True)
    level: Mapped[float] = iq.computed(iq.Summation("meters", "level"))
    mean: Mapped[float | None] = iq.computed(iq.Average("meters", "mean", empty=None))
    meters: Mapped[list[Meter]] = relationship(back_populates="site")


class Meter(Base):
    __tablename__ = "meter"
    id: Mapped[int] = mapped_column(primary_key=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("site.id"))
    level: Mapped[float] = iq.computed(iq.Summation("readings", "value"))
    positive: Mapped[float] = iq.computed(iq.Summation("readings", "value", where={"value": (">", 0)}))
    mean: Mapped[float | None] = iq.computed(iq.Average("readings", "value", empty=None))
    whole: Mapped[float] = iq.computed(iq.Summation("readings", "ticks"))
    ticks: Mapped[float] = iq.computed(iq.Average("readings", "ticks"))
    size: Mapped[float] = iq.computed(iq.Count("readings"))
    site: Mapped[Site] = relationship(back_populates="meters")
    readings: Mapped[list[Reading]] = relationship(back_populates="meter")


class Reading(Base):
    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(primary_key=True)
    meter_id: Mapped[int] = mapped_column(ForeignKey("meter.id"))
    value: Mapped[float | None]
    ticks: Mapped[int] = mapped_column(default=0)
    meter: Mapped[Meter] = relationship(back_populates="readings")


MIXED = (0.1, 0.2, 0.3, 1e16, -1e16, 1e-16, 1e6 + 0.3, 1e9 + 0.7, 3.3, -0.1, 1e300, -1e300, 1e-300, 4.0, 0.0, -0.0)
FLOATS = (
    st.sampled_from(MIXED)
    | st.sampled_from([None, math.nan, math.inf, -math.inf])
    # beyond 2**53 two shortest decimals may stand for a float, and PostgreSQL and Python choose differently
    | st.floats(-9e15, 9e15, allow_subnormal=False)
)
ROUTES = ("add", "bulk insert", "change", "bulk change", "move", "delete", "bulk delete")
STEPS = st.lists(st.tuples(st.sampled_from(ROUTES), FLOATS, st.integers(0, 9)), min_size=1, max_size=25)


def true_sum(values: Iterable[float | None]) -> float:
    with localcontext() as context:
        context.prec = 1000
        return float(sum((Decimal(repr(v)) for v in values if v is not None and math.isfinite(v)), Decimal(0)))


class Model:
    """Readings as Python knows them, beside those of the database."""

    def __init__(self) -> None:
        self.values: dict[int, tuple[int, float | None]] = {}
        self.last = 0

    def write(self, session: Session, route: str, value: float | None, number: int) -> None:
        """Do one thing to the readings; `number` says which one, and which meter."""
        meter, known = number % 2 + 1, sorted(self.values)
        if route in ("add", "bulk insert") or not known:
            self.last += 1
            self.values[self.last] = (meter, value)
            row = {"id": self.last, "meter_id": meter, "value": value, "ticks": number}
            if route == "bulk insert":
                session.execute(insert(Reading), [row])
            else:
                session.add(Reading(**row))
            return
        key = known[number % len(known)]
        found, where = session.get_one(Reading, key), Reading.id == key
        match route:
            case "change" | "bulk change":
                self.values[key] = (self.values[key][0], value)
                if route == "change":
                    found.value = value
                else:
                    session.execute(update(Reading).where(where).values(value=value))
            case "move":
                self.values[key] = (meter, self.values[key][1])
                found.meter_id = meter
            case _:
                del self.values[key]
                if route == "delete":
                    session.delete(found)
                else:
                    session.execute(delete(Reading).where(where))

    def assert_stored(self, session: Session) -> None:
        of_meter: dict[int, list[float | None]] = defaultdict(list)
        for meter, value in self.values.values():
            of_meter[meter].append(value)
        meters = session.scalars(select(Meter).order_by(Meter.id)).all()
        for meter in meters:
            values = of_meter[meter.id]
            numbers = [v for v in values if v is not None and math.isfinite(v)]
            assert meter.level == true_sum(values)
            assert meter.positive == true_sum(v for v in numbers if v > 0)
            assert meter.size == len(values)
            if numbers:
                assert meter.mean == pytest.approx(true_sum(numbers) / len(numbers), rel=1e-15)
            else:
                assert meter.mean is None
        levels = [meter.level for meter in meters]
        error = max(map(abs, levels)) * 1e-14  # levels may be beyond 2**53
        assert session.get_one(Site, 1).level == pytest.approx(true_sum(levels), abs=error)


@pytest.fixture
def system(make_system: MakeSystem) -> iq.System:
    return make_system(Base)


def start(system: iq.System) -> None:
    with engine_of(system).begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(delete(table), execution_options={"interaqt_sa_engine": True})
    with system.session_factory.begin() as session:
        session.add(Site(id=1, meters=[Meter(id=1), Meter(id=2)]))


def run(system: iq.System, steps: list[tuple[str, float | None, int]]) -> None:
    start(system)
    model = Model()
    with system.session_factory.begin() as session:
        for step in steps:
            model.write(session, *step)
            session.flush()
            session.expire_all()
            model.assert_stored(session)
    assert_true(system)
    with system.session_factory.begin() as session:
        keys = sorted(model.values)
        random.Random(len(steps)).shuffle(keys)
        for key in keys:
            session.execute(delete(Reading).where(Reading.id == key))
        for meter in session.scalars(select(Meter)):
            assert (meter.level, meter.positive, meter.mean, meter.whole, meter.ticks) == (0, 0, None, 0, 0)
        state = select(Meter.__table__.c["_level__sum"], Meter.__table__.c["_mean__sum"])
        assert session.execute(state).all() == [(0, 0), (0, 0)]
        assert session.get_one(Site, 1).level == 0
    assert_true(system)


@given(steps=STEPS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_writes(system: iq.System, steps: list[tuple[str, float | None, int]]) -> None:
    run(system, steps)


@given(steps=STEPS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_writes_on_an_observed_connection(system: iq.System, steps: list[tuple[str, float | None, int]]) -> None:
    heard: list[str] = []

    def listener(*args: Any) -> None:
        heard.append(args[2])

    event.listen(engine_of(system), "before_cursor_execute", listener)
    try:
        run(system, steps)
    finally:
        event.remove(engine_of(system), "before_cursor_execute", listener)
    assert any("UPDATE meter" in statement for statement in heard)


@pytest.mark.parametrize("seed", range(3))
def test_many_members_in_any_order(system: iq.System, seed: int) -> None:
    start(system)
    choose = random.Random(seed)
    values = [choose.choice(MIXED) * choose.choice([1, 3, 1e5]) for _ in range(2000)]
    rows = [{"id": n, "meter_id": 1, "value": value, "ticks": n} for n, value in enumerate(values)]
    with system.session_factory.begin() as session:
        session.execute(insert(Reading), rows)
        meter = session.get_one(Meter, 1)
        assert (meter.level, meter.whole) == (true_sum(values), sum(range(2000)))
        for part in (0, 2, 1):
            session.execute(delete(Reading).where(Reading.id % 3 == part))
            session.refresh(meter)
            left = session.scalars(select(Reading.value)).all()
            assert meter.level == true_sum(left)
    assert_true(system)


def test_it_is_what_a_recompute_gives(system: iq.System) -> None:
    start(system)
    values = [0.1, 0.2, 1e16, 1e-16, 1e300]
    with system.session_factory.begin() as session:
        for value in values:
            session.add(Reading(meter_id=1, value=value))
            session.flush()
    hidden = Meter.__table__.c["_level__sum"]
    with system.session_factory.begin() as session:
        kept = session.execute(select(Meter.level, hidden).where(Meter.id == 1)).one()
        assert isinstance(kept[1], Decimal)
        session.connection().execute(
            update(Base.metadata.tables["meter"]).values({hidden: 1, Meter.level: 7.0}),
            execution_options={"interaqt_sa_engine": True},
        )
    assert {d.property for d in system.check(Meter).differences} == {"level", "_level__sum"}
    system.repair()
    with system.session_factory() as session:
        assert session.execute(select(Meter.level, hidden).where(Meter.id == 1)).one() == kept
    assert_true(system)


# -- SQLite ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sqlite_system(engine_for: EngineFactory) -> iq.System:
    engine = engine_for("pysqlite", pool_size=5)
    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    start(system)
    return system


def test_every_connection_of_a_pool_has_the_functions(sqlite_system: iq.System) -> None:
    engine = engine_of(sqlite_system)
    before = [engine.connect() for _ in range(3)]  # opened before the engine works on them
    for connection in before:
        connection.close()
    for value in (0.1, 0.2, 1e16):
        with sqlite_system.session_factory() as outer, sqlite_system.session_factory() as inner:
            outer.connection().execute(text("SELECT 1")).all()
            outer.rollback()
            with inner.begin():
                inner.add(Reading(meter_id=1, value=value))
    engine.dispose()
    with sqlite_system.session_factory() as session:
        session.add(Reading(meter_id=1, value=-1e16))
        session.flush()
        session.connection().invalidate()
        session.rollback()
    with sqlite_system.session_factory.begin() as session:
        session.add(Reading(meter_id=1, value=-1e16))
    other = sessionmaker(engine)
    sqlite_system.attach(other)
    with other.begin() as session:
        session.execute(delete(Reading).where(Reading.value == 0.2))
    with other() as session:
        assert session.get_one(Meter, 1).level == 0.1
    assert_true(sqlite_system)


def test_the_file_is_read_and_written_without_the_functions(sqlite_system: iq.System) -> None:
    with sqlite_system.session_factory.begin() as session:
        session.add(Reading(meter_id=1, value=0.1))
        session.add(Reading(meter_id=1, value=0.2))
    engine = engine_of(sqlite_system)
    plain = sqlite3.connect(str(engine.url.database))
    try:
        row = plain.execute("SELECT level, CAST(_level__sum AS REAL), typeof(_level__sum) FROM meter WHERE id = 1")
        assert row.fetchone() == (0.3, 0.3, "text")
        copied = plain.execute("CREATE TABLE copied (n NUMERIC NOT NULL)")
        plain.execute("INSERT INTO copied SELECT _level__sum FROM meter WHERE id = 1")
        assert copied.execute("SELECT n, typeof(n) FROM copied").fetchone() == ("0.3n", "text")
        plain.execute("UPDATE meter SET site_id = 1")
        plain.commit()
    finally:
        plain.close()
    assert_true(sqlite_system)


def test_sums_of_an_earlier_database_go_on_and_can_be_repaired(sqlite_system: iq.System) -> None:
    """There the running sum is a float, with what its additions have left behind."""
    with sqlite_system.session_factory.begin() as session:
        session.add_all([Reading(meter_id=1, value=value) for value in (0.1, 0.2)])
    with engine_of(sqlite_system).begin() as connection:
        for table in ("meter", "site"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN _level__sum")
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN _level__sum NUMERIC NOT NULL DEFAULT 0")
        connection.exec_driver_sql("UPDATE meter SET _level__sum = 0.1 + 0.2, level = 0.1 + 0.2 WHERE id = 1")
        connection.exec_driver_sql("UPDATE site SET _level__sum = 0.1 + 0.2, level = 0.1 + 0.2")
    with sqlite_system.session_factory.begin() as session:
        session.add(Reading(meter_id=1, value=0.5))
        session.flush()
        assert session.get_one(Meter, 1).level == pytest.approx(0.8)
    assert not sqlite_system.check().ok
    sqlite_system.repair()
    assert_true(sqlite_system)
    with sqlite_system.session_factory.begin() as session:
        session.execute(delete(Reading))
        assert (session.get_one(Meter, 1).level, session.get_one(Site, 1).level) == (0, 0)


def test_what_is_not_a_number_in_a_number_column_adds_nothing(sqlite_system: iq.System) -> None:
    with engine_of(sqlite_system).begin() as connection:
        for value in ("'many'", "x'00'", "9e999", "''"):
            connection.exec_driver_sql(f"INSERT INTO reading (meter_id, value, ticks) VALUES (1, {value}, 0)")
    sqlite_system.repair()
    with sqlite_system.session_factory.begin() as session:
        session.add(Reading(meter_id=1, value=1.7e308))
    with sqlite_system.session_factory.begin() as session:
        assert session.get_one(Meter, 1).level == 1.7e308
        session.execute(update(Reading).values(meter_id=2))
        assert session.scalars(select(Meter.level).order_by(Meter.id)).all() == [0, 1.7e308]
    assert sqlite_system.check().ok


def test_reflected_tables(make_system: MakeSystem) -> None:
    """Programs that know the database only can read running sums; models that are made of it keep them."""
    system = make_system(Base)
    start(system)
    with system.session_factory.begin() as session:
        session.add_all([Reading(meter_id=1, value=value) for value in (0.1, 0.2)])
    engine = engine_of(system)
    with engine.connect() as connection:
        for table in ("site", "meter"):
            assert connection.execute(select(Table(table, MetaData(), autoload_with=connection))).all()

    class Reflected(DeclarativeBase):
        pass

    class Measured(Reflected):
        __table__ = Table(
            "meter",
            Reflected.metadata,
            Column("level", Double, iq.Summation("readings", "value"), nullable=False),
            autoload_with=engine,
        )
        readings: Mapped[list[Measure]] = relationship()

    class Measure(Reflected):
        __table__ = Table("reading", Reflected.metadata, autoload_with=engine)

    again = iq.System(sessionmaker(engine), base=Reflected)
    with again.session_factory.begin() as session:
        session.execute(delete(Measure).where(Measure.__table__.c.value == 0.1))
        assert session.scalars(select(Measured.__table__.c.level).where(Measured.__table__.c.id == 1)).one() == 0.2
        session.execute(delete(Measure))
    assert_true(again)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT level, _level__sum FROM meter WHERE id = 1").one() in [
            (0, 0),
            (0, "0"),
        ]


async def test_asynchronous_engines(async_engine: AsyncEngine) -> None:
    system = iq.AsyncSystem(async_engine, base=Base)
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with system.session_factory.begin() as session:
        session.add(Site(id=1, meters=[Meter(id=1)]))
    values = (0.1, 1e16, 1e-16, 0.2)
    for key, value in enumerate(values):
        async with system.session_factory.begin() as session:
            session.add(Reading(id=key, meter_id=1, value=value))
    for key in (1, 0, 3, 2):
        async with system.session_factory.begin() as session:
            assert (await session.get_one(Meter, 1)).level == (
                await session.run_sync(lambda s: true_sum(s.scalars(select(Reading.value)).all()))
            )
            await session.execute(delete(Reading).where(Reading.id == key))
    async with system.session_factory() as session:
        assert (await session.get_one(Meter, 1)).level == 0
        assert await session.scalar(select(func.sum(Site.level))) == 0
    assert (await system.check()).ok


# -- decimals ----------------------------------------------------------------------------------------------------------


class MoneyBase(DeclarativeBase):
    pass


class Account(MoneyBase):
    """Decimals, which SQLite stores as floats: a sum that a float can show is right, and ends at 0."""

    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[Decimal] = iq.computed(iq.Summation("entries", "amount"))
    scaled: Mapped[Decimal] = iq.computed(iq.Summation("entries", "scaled"), Numeric(20, 4))
    mean: Mapped[Decimal] = iq.computed(iq.Average("entries", "amount"))
    as_float: Mapped[float] = iq.computed(iq.Summation("entries", "amount"))
    entries: Mapped[list[Entry]] = relationship()


class Entry(MoneyBase):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
    amount: Mapped[Decimal]
    scaled: Mapped[Decimal] = mapped_column(Numeric(20, 4))


@pytest.mark.filterwarnings("ignore:Dialect sqlite:sqlalchemy.exc.SAWarning")
def test_decimals_end_at_zero(make_system: MakeSystem) -> None:
    system = make_system(MoneyBase)
    amounts = [Decimal(a) for a in ("0.1", "1000000.3", "3.3", "1000000000.7", "0.2", "12345678.9", "-0.7")]
    rows = [{"id": n, "account_id": 1, "amount": a, "scaled": a} for n, a in enumerate(amounts)]
    for seed in range(5):
        choose = random.Random(seed)
        with system.session_factory.begin() as session:
            session.add(Account(id=1))
            session.flush()
            for row in choose.sample(rows, len(rows)):
                session.execute(insert(Entry), [row])
            left = dict(enumerate(amounts))
            for key in choose.sample(sorted(left), len(left)):
                session.execute(delete(Entry).where(Entry.id == key))
                del left[key]
                total = sum(left.values(), Decimal(0))
                account = session.scalars(select(Account)).one()
                # SQLAlchemy reads ten places of a float, also where these are more than it has
                assert float(account.balance) == account.as_float == float(total)
                assert account.scaled == total
            assert session.scalars(select(Account.mean)).one() == 0
        assert_true(system)
        with system.session_factory.begin() as session:
            session.execute(delete(Account))


def test_the_columns_of_running_sums(engine: Engine) -> None:
    kinds = {c.name: str(c.type.compile(engine.dialect)) for c in Meter.__table__.columns if "__sum" in c.name}
    assert kinds.keys() == {"_level__sum", "_positive__sum", "_mean__sum", "_whole__sum", "_ticks__sum"}
    assert set(kinds.values()) == {"TEXT" if engine.dialect.name == "sqlite" else "NUMERIC"}
