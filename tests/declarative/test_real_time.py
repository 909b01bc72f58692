"""RealTime: values that depend on the current time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, ForeignKey, inspect, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from interaqt_sa.cli.commands import main
from interaqt_sa.dialects.column_types import AwareDateTime
from tests.behaviours.numbers import behaviour
from tests.support.engines import EngineFactory

START = datetime(2040, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CALLS: list[int] = []


def is_late(now: datetime, deps: Mapping[str, Any]) -> bool:
    CALLS.append(deps["record"].id)
    return bool(now >= deps["record"].due_at)


def when_late(now: datetime, deps: Mapping[str, Any]) -> datetime | None:
    due: datetime = deps["record"].due_at
    return due if now < due else None


class Base(DeclarativeBase):
    pass


class Library(Base):
    __tablename__ = "library"

    id: Mapped[int] = mapped_column(primary_key=True)
    loans: Mapped[list[Loan]] = relationship()
    late: Mapped[int] = iq.computed(iq.Count("loans", where={"is_late": True}))


class Loan(Base):
    __tablename__ = "loan"

    id: Mapped[int] = mapped_column(primary_key=True)
    library_id: Mapped[int] = mapped_column(ForeignKey("library.id"), index=True)
    due_at: Mapped[datetime] = mapped_column(AwareDateTime())
    is_late: Mapped[bool] = iq.computed(iq.RealTime(is_late, next_recompute_time=when_late, attribute_query=["due_at"]))


class Reminder(Base):
    __tablename__ = "reminder"
    __computation__ = iq.Transform(
        event_deps={"late": iq.Trigger(Loan, "update", keys=["is_late"], record={"is_late": True})},
        callback=lambda event: {"loan": event.record.id},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    loan: Mapped[int]


CLOSING = iq.Dictionary("closing", "string", default="")
PHASE = iq.Dictionary(
    "phase",
    "string",
    computation=iq.RealTime(
        lambda now, deps: f"{now.year} {deps['closing']}",
        next_recompute_time=lambda now, _: datetime(now.year + 1, 1, 1, tzinfo=UTC),
        data_deps={"closing": CLOSING},
    ),
)
iq.compile_schema(Base, dictionaries=[CLOSING, PHASE])


def start(engine: Engine, loans: int = 4) -> iq.System:
    Base.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Base, unattached="allow")
    with system.session_factory.begin() as session:
        session.add(Library(id=1, loans=[Loan(id=n, due_at=START + n * DAY) for n in range(1, loans + 1)]))
    assert system.recompute_due(now=START) == 1  # the dictionary, for the first time
    CALLS.clear()
    return system


def stored(system: iq.System, column: Any) -> list[Any]:
    assert system.check()
    CALLS.clear()
    with system.session_factory() as session:
        return [*session.scalars(select(column).order_by(column.table.c.id))]


def next_times(system: iq.System) -> list[Any]:
    return stored(system, Loan.__table__.c["_is_late__next"])


@behaviour("R-A46")
def test_values_are_computed_when_they_are_due(engine: Engine) -> None:
    system = start(engine)
    assert stored(system, Loan.__table__.c.is_late) == [False] * 4
    assert next_times(system) == [START + n * DAY for n in (1, 2, 3, 4)]
    assert system.recompute_due(now=START) == 0
    assert system.recompute_due(now=START + 2 * DAY, batch=1) == 2
    assert CALLS == [1, 2]
    assert next_times(system) == [None, None, START + 3 * DAY, START + 4 * DAY]
    assert stored(system, Library.__table__.c.late) == [2]
    # events of the change are told
    assert sorted(stored(system, Reminder.__table__.c.loan)) == [1, 2]
    assert system.recompute_due(now=START + 2 * DAY) == 0


@behaviour("R-A46")
def test_values_are_computed_when_their_data_changes(engine: Engine) -> None:
    system = start(engine)
    past = datetime(2000, 1, 1, tzinfo=UTC)
    with system.session_factory.begin() as session:
        session.execute(update(Loan).where(Loan.id <= 2).values(due_at=past))
        session.get_one(Loan, 3).due_at = past
        session.flush()
        assert session.get_one(Loan, 3).is_late
    assert sorted(CALLS) == [1, 2, 3]
    assert stored(system, Library.__table__.c.late) == [3]
    assert next_times(system) == [None, None, None, START + 4 * DAY]


@behaviour("R-A46")
def test_dictionaries(engine: Engine) -> None:
    system = start(engine)
    system.storage.dictionary.set("closing", "x")
    year = datetime.now(UTC).year
    assert system.storage.dictionary.get("phase") == f"{year} x"
    assert system.recompute_due(now=datetime(year + 3, 5, 1, tzinfo=UTC)) == 1
    assert system.storage.dictionary.get("phase") == f"{year + 3} x"
    assert system.check()


def test_the_index_and_the_command(engine_for: EngineFactory, sqlite_url: str) -> None:
    engine = engine_for("pysqlite")
    system = start(engine)
    assert ["_is_late__next"] in [index["column_names"] for index in inspect(engine).get_indexes("loan")]
    with engine.begin() as connection:
        connection.execute(text("UPDATE loan SET _is_late__next = '2001-01-01 00:00:00' WHERE id < 3"))
    url = engine.url.render_as_string()
    result = CliRunner().invoke(main, ["recompute-due", "tests.declarative.test_real_time:Base", "--url", url])
    assert (result.exit_code, result.output) == (0, "2 values computed.\n"), (result.output, sqlite_url)
    assert system.check()


@behaviour("R-A46")
@pytest.mark.postgres
def test_workers_share_the_work(engine_for: EngineFactory) -> None:
    system = start(engine_for("psycopg", pool_size=6), loans=60)
    barrier = threading.Barrier(4)

    def work() -> int:
        barrier.wait()
        return system.recompute_due(now=START + 100 * DAY, batch=5)

    with ThreadPoolExecutor(4) as pool:
        counts = [future.result() for future in [pool.submit(work) for _ in range(4)]]
    rest = system.recompute_due(now=START + 100 * DAY)
    assert sum(counts) + rest == 60
    assert sorted(CALLS) == [*range(1, 61)]
    assert stored(system, Library.__table__.c.late) == [60]


@behaviour("R-A46")
@pytest.mark.postgres
def test_locked_rows_are_left_out(engine_for: EngineFactory) -> None:
    system = start(engine_for("psycopg"))
    with system.session_factory.begin() as session:
        session.scalar(select(Loan).where(Loan.id == 1).with_for_update())
        assert system.recompute_due(now=START + 2 * DAY) == 1
    assert system.recompute_due(now=START + 2 * DAY) == 1


def test_a_next_time_must_be_later(engine: Engine) -> None:
    class Other(DeclarativeBase):
        pass

    class Thing(Other):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[int | None] = iq.computed(
            iq.RealTime(lambda now, _: now.year, next_recompute_time=lambda now, _: now)
        )

    Other.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Other)
    with system.session_factory() as session:
        session.add(Thing())
        with pytest.raises(iq.ComputationError, match="later than"):
            session.flush()


async def later(now: datetime, deps: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"callback": later}, "is async"),
        ({"callback": None}, "not a function"),
        ({"next_recompute_time": later}, "is async"),
        ({"attribute_query": "name"}, "is a list of names"),
        ({"attribute_query": [], "data_deps": {"record": CLOSING}}, "is the row itself"),
    ],
)
def test_arguments(arguments: dict[str, Any], expected: str) -> None:
    with pytest.raises(iq.ComputationProtocolError, match=expected):
        iq.RealTime(**{"callback": is_late, **arguments})


def test_times_without_a_zone_are_refused(engine: Engine) -> None:
    system = start(engine)
    with pytest.raises(iq.InvalidValueError, match="time zone"):
        system.recompute_due(now=datetime(2040, 1, 1))  # noqa: DTZ001
