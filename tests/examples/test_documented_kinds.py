"""The kinds of docs/extending.md on both databases, for members that are NULL, NaN, infinite or alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from sqlalchemy import Double, Engine, ForeignKey, Integer, String, delete, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.examples.pages import ROOT, python_blocks

NAN, INFINITY = math.nan, math.inf


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """Return what the blocks of the page define, but for the last one, which uses it on SQLite."""
    names: dict[str, Any] = {}
    for _, block in python_blocks(ROOT / "docs" / "extending.md")[:-1]:
        exec(compile(block, "extending.md", "exec", dont_inherit=True), names)
    return names


class Sensors:
    """Models with both kinds, and a system for sessions of its own."""

    def __init__(self, page: dict[str, Any], engine: Engine) -> None:
        class Base(DeclarativeBase):
            pass

        class Reading(Base):
            __tablename__ = "reading"
            id: Mapped[int] = mapped_column(primary_key=True)
            sensor_id: Mapped[int] = mapped_column(ForeignKey("sensor.id"), index=True)
            celsius: Mapped[float | None] = mapped_column(Double)

        class Sensor(Base):
            __tablename__ = "sensor"
            id: Mapped[int] = mapped_column(primary_key=True)
            readings: Mapped[list[Reading]] = relationship()
            variance: Mapped[float] = iq.computed(page["Variance"]("readings", "celsius"), Double)
            spread: Mapped[float | None] = iq.computed(page["Range"]("readings", "celsius"), Double)

        self.Reading, self.Sensor = Reading, Sensor
        self.sessions = sessionmaker(engine)
        self.system = iq.System(self.sessions, base=Base)
        Base.metadata.create_all(engine)


@pytest.fixture
def sensors(page: dict[str, Any], engine: Engine) -> Sensors:
    return Sensors(page, engine)


def expected(values: list[float | None]) -> tuple[float, float | None]:
    """Return the variance and the range of the numbers among ``values``."""
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    if not numbers:
        return 0.0, None
    mean = sum(numbers) / len(numbers)
    return sum(n * n for n in numbers) / len(numbers) - mean * mean, max(numbers) - min(numbers)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [None],
        [NAN],
        [INFINITY],
        [1.0, 5.0, NAN],
        [NAN, 5.0, 1.0],
        [1.0, None, 5.0],
        [1.0, INFINITY, 5.0, -INFINITY],
        [3.0, 3.0, 3.0],
        [1.0, 1.0, 4.0, 4.0],
        [NAN, None, 2.0],
    ],
    ids=str,
)
def test_members_that_come_and_go(sensors: Sensors, values: list[float | None]) -> None:
    with sensors.sessions.begin() as session:
        sensor = sensors.Sensor()
        session.add(sensor)
        there: list[float | None] = []
        for value in values:
            sensor.readings.append(sensors.Reading(celsius=value))
            there.append(value)
            session.flush()
            assert (sensor.variance, sensor.spread) == expected(there)
        for _ in values:
            session.delete(sensor.readings.pop(0))
            there.pop(0)
            session.flush()
            assert (sensor.variance, sensor.spread) == expected(there)
    assert sensors.system.check()


def _values(chance: Random) -> float | None:
    return chance.choice([None, NAN, INFINITY, -INFINITY, 1.0, 1.0, 2.5, 5.0, 5.0, -4.0])


def _insert(sensors: Sensors, session: Session, chance: Random) -> None:
    rows = [{"sensor_id": chance.randint(1, 2), "celsius": _values(chance)} for _ in range(3)]
    session.execute(insert(sensors.Reading), rows)


def _update(sensors: Sensors, session: Session, chance: Random) -> None:
    some = sensors.Reading.id % 3 == chance.randrange(3)
    session.execute(update(sensors.Reading).where(some).values(celsius=_values(chance)))


def _move(sensors: Sensors, session: Session, chance: Random) -> None:
    some = sensors.Reading.id % 3 == chance.randrange(3)
    session.execute(update(sensors.Reading).where(some).values(sensor_id=chance.randint(1, 2)))


def _delete(sensors: Sensors, session: Session, chance: Random) -> None:
    session.execute(delete(sensors.Reading).where(sensors.Reading.id % 4 == chance.randrange(4)))


def test_writes_of_many_rows(sensors: Sensors) -> None:
    """After each statement the values equal those of a full recomputation."""
    chance = Random(1)
    with sensors.sessions.begin() as session:
        session.add_all([sensors.Sensor(id=1), sensors.Sensor(id=2)])
    for turn in range(40):
        write: Callable[..., None] = chance.choice([_insert, _insert, _update, _move, _delete])
        with sensors.sessions.begin() as session:
            write(sensors, session, chance)
        assert not sensors.system.check().differences, (turn, write.__name__)


@pytest.mark.parametrize(
    ("field", "column", "message"),
    [
        (String, Double, r"'celsius' \(String\(\)\), which Double\(\) does not store unchanged"),
        (Double, Integer, r"'celsius' \(Double\(\)\), which Integer\(\) does not store unchanged"),
        (String, String, r"Range needs a column of type Integer, Numeric, Float, not String\(\)"),
    ],
)
def test_types_that_a_range_refuses(
    page: dict[str, Any], engine: Engine, field: Any, column: Any, message: str
) -> None:
    class Base(DeclarativeBase):
        pass

    class Reading(Base):
        __tablename__ = "reading"
        id: Mapped[int] = mapped_column(primary_key=True)
        sensor_id: Mapped[int] = mapped_column(ForeignKey("sensor.id"))
        celsius: Mapped[Any] = mapped_column(field)

    class Sensor(Base):
        __tablename__ = "sensor"
        id: Mapped[int] = mapped_column(primary_key=True)
        readings: Mapped[list[Reading]] = relationship()
        spread: Mapped[Any] = iq.computed(page["Range"]("readings", "celsius"), column, nullable=True)

    with pytest.raises(iq.DefinitionError, match=message):
        iq.System(sessionmaker(engine), base=Base).check()
    assert Sensor
