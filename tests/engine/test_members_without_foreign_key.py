"""Members that name their host without a foreign key, and hosts that appear beside them, on many connections."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, foreign, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.support.engines import EngineFactory
from tests.support.torture import Torture

CODES = "abcdef"


class Base(DeclarativeBase):
    pass


class Sensor(Base):
    __tablename__ = "sensor"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    readings: Mapped[list[Reading]] = relationship(
        primaryjoin=lambda: Sensor.code == foreign(Reading.code), viewonly=True
    )
    reading_count: Mapped[int] = iq.computed(iq.Count("readings"))
    total: Mapped[int] = iq.computed(iq.Summation("readings", "value"))
    first: Mapped[int | None] = iq.computed(iq.First("readings", "id", by="value"))
    latest: Mapped[int | None] = iq.computed(iq.Latest("readings", "value", by="id"))


class Reading(Base):
    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str]
    value: Mapped[int]


@pytest.fixture
def engine(engine_for: EngineFactory, torture: Torture) -> Engine:
    engine = engine_for("psycopg", pool_size=torture.workers, connect_args={"options": "-c deadlock_timeout=100ms"})
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add_all([Reading(id=10**6, code="a", value=1), Sensor(id=10**6, code="z")])
    return engine


def add_member(session: Session) -> None:
    session.add(Reading(id=2, code="b", value=5))


def change_member(session: Session) -> None:
    session.get_one(Reading, 10**6).value = 7


def move_member(session: Session) -> None:
    session.get_one(Reading, 10**6).code = "b"


def remove_member(session: Session) -> None:
    session.delete(session.get_one(Reading, 10**6))


def bulk_members(session: Session) -> None:
    session.execute(insert(Reading), [{"id": n, "code": code, "value": n} for n, code in enumerate("abab", 10)])
    session.execute(update(Reading).values(value=Reading.value + 1))
    session.execute(delete(Reading).where(Reading.id == 10**6))


def add_host(session: Session) -> None:
    session.add_all([Sensor(id=2, code="a"), Sensor(id=3, code="b")])


def bulk_hosts(session: Session) -> None:
    session.execute(insert(Sensor), [{"id": 2, "code": "a"}, {"id": 3, "code": "b"}])


def rekey_host(session: Session) -> None:
    session.get_one(Sensor, 10**6).code = "a"


def bulk_rekey(session: Session) -> None:
    session.execute(update(Sensor).values(code="b"))


Write = Callable[[Session], None]


@pytest.mark.postgres
@pytest.mark.concurrency
@pytest.mark.parametrize("members_first", [True, False])
@pytest.mark.parametrize("host", [add_host, bulk_hosts, rekey_host, bulk_rekey])
@pytest.mark.parametrize("member", [add_member, change_member, move_member, remove_member, bulk_members])
def test_members_and_hosts_at_the_same_time(engine: Engine, member: Write, host: Write, members_first: bool) -> None:
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=Base)
    first, second = (member, host) if members_first else (host, member)

    def write_second() -> None:
        with session_factory.begin() as session:
            second(session)

    with ThreadPoolExecutor(1) as pool:
        with session_factory.begin() as session:
            first(session)
            session.flush()
            other = pool.submit(write_second)
            _wait_until(lambda: other.done() or _somebody_waits(engine))
        other.result(timeout=60)
    assert not system.check().differences


def _wait_until(reached: Callable[[], bool]) -> None:
    while not reached():
        time.sleep(0.01)


def _somebody_waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar())


def add_twin(session: Session) -> None:
    session.add(Sensor(code="a"))


def bulk_twin(session: Session) -> None:
    session.execute(insert(Sensor).values(code="a"))


@pytest.mark.parametrize("add", [add_twin, bulk_twin])
@pytest.mark.parametrize("other", [change_member, move_member, remove_member, add_member])
@pytest.mark.parametrize("driver", ["pysqlite", "psycopg"])
def test_a_second_host_with_the_same_key(engine_for: EngineFactory, driver: str, add: Write, other: Write) -> None:
    session_factory = sessionmaker(engine_for(driver))
    system = iq.System(session_factory, base=Base)
    Base.metadata.create_all(engine_for(driver))
    with session_factory.begin() as session:
        session.add_all([Sensor(code="a"), Reading(id=10**6, code="a", value=1), Reading(id=3, code="a", value=4)])
    with session_factory.begin() as session:
        other(session)
        add(session)
    with session_factory() as session:
        assert [count for (count,) in session.execute(select(Sensor.reading_count))] != [0, 0]
    assert not system.check().differences


@pytest.mark.postgres
@pytest.mark.concurrency
def test_random_writers(engine: Engine, torture: Torture) -> None:
    session_factory = sessionmaker(engine)
    system = iq.System(session_factory, base=Base)

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(torture.rounds):
            number, code = chance.randrange(10**9), chance.choice(CODES)
            kind = chance.randrange(6)

            def write(session: Session, number: int = number, code: str = code, kind: int = kind) -> None:
                _write(session, kind, number, code)

            iq.run_with_transaction_retry(session_factory, write, max_attempts=50)

    with ThreadPoolExecutor(torture.workers) as pool:
        list(pool.map(work, range(torture.workers)))
    assert not system.check().differences


def _write(session: Session, kind: int, number: int, code: str) -> None:
    match kind:
        case 0 | 1:
            session.add(Reading(code=code, value=number % 10))
        case 2:
            some = select(Reading.id).where(Reading.code == code).limit(2)
            session.execute(update(Reading).where(Reading.id.in_(some)).values(code=CODES[number % len(CODES)]))
        case 3:
            session.execute(delete(Reading).where(Reading.code == code, Reading.value == number % 10))
        case 4 if session.scalar(select(Sensor.id).where(Sensor.code == code).limit(1)) is None:
            session.add(Sensor(code=code))
        case 4:
            session.execute(delete(Sensor).where(Sensor.code == code))
        case _:
            session.execute(update(Sensor).where(Sensor.code == code).values(code=CODES[number % len(CODES)]))
