"""Types of what is summed up, filtered by and computed: enums, decorators, decimals, floats, NULL."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Dialect,
    Double,
    Enum,
    ForeignKey,
    Integer,
    Numeric,
    SmallInteger,
    TypeDecorator,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Any as AnyOf
from interaqt_sa import AsyncSystem, Average, Count, Every, Summation, computed
from tests.declarative.kept import Keep, Kept
from tests.declarative.keyed import Colour, Prefixed
from tests.support.engines import EngineFactory


class Cents(TypeDecorator[Decimal]):
    """An amount with two places, kept as an integer."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) / 100


class Rounded(TypeDecorator[Decimal]):
    impl = Numeric(12, 2)
    cache_ok = True


class Base(DeclarativeBase):
    pass


class Series(Base):
    __tablename__ = "series"

    id: Mapped[int] = mapped_column(primary_key=True)
    points: Mapped[list[Point]] = relationship(back_populates="series")
    red: Mapped[int] = computed(Count("points", where={"colour": Colour.RED}), SmallInteger)
    not_red: Mapped[int] = computed(Count("points", where={"colour": ("in", [Colour.GREEN, Colour.BLUE])}), BigInteger)
    code_seven: Mapped[bool] = computed(AnyOf("points", expression={"code": 7}))
    known_colours: Mapped[bool] = computed(Every("points", expression={"colour": ("not", None)}))
    decimals: Mapped[Decimal] = computed(Summation("points", "exact"), Numeric(14, 3))
    wide: Mapped[Decimal] = computed(Summation("points", "exact"), Numeric())
    wide_of_ints: Mapped[Decimal] = computed(Summation("points", "small"), Numeric(10, 1))
    floats: Mapped[float] = computed(Summation("points", "real"))
    floats_of_ints: Mapped[float] = computed(Summation("points", "small"), Double)
    mean: Mapped[float | None] = computed(Average("points", "real", empty=None))
    mean_zero: Mapped[Decimal] = computed(Average("points", "exact", nulls="zero", empty=-1), Numeric(12, 4))
    money: Mapped[Decimal] = computed(Summation("points", "money"), Rounded())
    cents: Mapped[Decimal] = computed(Summation("points", "cents"), Cents())


class Point(Base):
    __tablename__ = "point"

    id: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"))
    series: Mapped[Series] = relationship(back_populates="points")
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour))
    code: Mapped[int | None] = mapped_column(Prefixed())
    exact: Mapped[Decimal | None] = mapped_column(Numeric(12, 3))
    small: Mapped[int | None] = mapped_column(SmallInteger)
    real: Mapped[float | None] = mapped_column(Double)
    money: Mapped[Decimal | None] = mapped_column(Rounded())
    cents: Mapped[Decimal | None] = mapped_column(Cents())


def attributes(series: Any, *names: str) -> tuple[Any, ...]:
    return tuple(getattr(series, name) for name in names)


@pytest.fixture
def plot(keep: Keep) -> Iterator[Kept]:
    kept = keep(Base)
    kept.run(insert(Series), [{"id": 1}, {"id": 2}])
    yield kept
    kept.verify()


def test_enums_and_decorated_values_as_filters(plot: Kept) -> None:
    with plot.begin() as session:
        series = session.get_one(Series, 1)
        red, nothing = Point(colour=Colour.RED, code=7), Point()
        series.points += [red, Point(colour=Colour.BLUE, code=70), nothing]
        session.flush()
        assert attributes(series, "red", "not_red", "code_seven", "known_colours") == (1, 1, True, False)
        red.colour, nothing.colour, red.code = Colour.GREEN, Colour.RED, None
        session.flush()
        assert attributes(series, "red", "not_red", "code_seven", "known_colours") == (1, 2, False, True)
    plot.run(update(Point).values(colour=Colour.RED, code=7))
    assert plot.stored(Series.id, Series.red, Series.not_red, Series.code_seven)[0] == (1, 3, 0, True)


def test_decimals_are_exact_to_the_last_place(plot: Kept) -> None:
    with plot.begin() as session:
        series = session.get_one(Series, 1)
        series.points = [Point(exact=Decimal("0.001")) for _ in range(7)]
        session.flush()
        assert series.decimals == series.wide == Decimal("0.007")
        series.points[0].exact = Decimal("123456.789")
    plot.run(update(Point).where(Point.exact < 1).values(exact=Point.exact + Decimal("0.1")))
    (_, decimals, wide), _ = plot.stored(Series.id, Series.decimals, Series.wide)
    assert decimals == wide == Decimal("123457.395")
    plot.run(delete(Point))
    assert plot.stored(Series.id, Series.decimals, Series.wide)[0][1:] == (0, 0)


def swell_and_shrink(kept: Kept, factor: float) -> tuple[Any, ...]:
    """Add floats, make them large, take all but one away; return its sum and mean."""
    with kept.begin() as session:
        series = session.get_one(Series, 1)
        series.points = [Point(real=0.1 * n) for n in range(1, 30)]
        session.flush()
        assert series.mean == pytest.approx(1.5)
        for point in series.points:
            point.real = factor * (point.real or 0)
        session.flush()
        for point in series.points[1:]:
            session.delete(point)
        series.points[0].real = 0.1
    return kept.stored(Series.id, Series.floats, Series.mean)[0][1:]


def test_sums_and_means_of_floats(plot: Kept) -> None:
    assert swell_and_shrink(plot, factor=100) == (pytest.approx(0.1), pytest.approx(0.1))
    plot.run(delete(Point))
    assert plot.stored(Series.id, Series.floats, Series.mean)[0] == (1, pytest.approx(0), None)


@pytest.mark.postgres
def test_floats_do_not_drift_where_the_database_has_decimals(engine_for: EngineFactory) -> None:
    kept = Kept(engine_for("psycopg"), Base)
    kept.run(insert(Series), [{"id": 1}])
    assert swell_and_shrink(kept, factor=1e12) == (0.1, 0.1)


def test_null_adds_nothing_and_counts_only_where_asked(plot: Kept) -> None:
    names = "decimals", "floats", "mean", "mean_zero", "wide_of_ints", "floats_of_ints"
    with plot.begin() as session:
        series = session.get_one(Series, 1)
        assert attributes(series, *names) == (0, 0, None, -1, 0, 0)
        series.points = [Point(), Point(real=3.0, exact=Decimal(4), small=5)]
        session.flush()
        assert attributes(series, *names) == (4, 3.0, 3.0, 2, 5, 5.0)
        series.points[0].real, series.points[1].exact = 6.0, None
        session.flush()
        assert attributes(series, *names) == (0, 9.0, 4.5, 0, 5, 5.0)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_spoils_no_sum(plot: Kept, number: float) -> None:
    plot.run(insert(Point), [{"series_id": 1, "real": number}, {"series_id": 1, "real": 2.5}])
    assert plot.stored(Series.id, Series.floats, Series.mean)[0] == (1, 2.5, 2.5)
    plot.run(delete(Point).where(Point.real != 2.5))
    plot.run(update(Point).values(real=number))
    assert plot.stored(Series.id, Series.floats, Series.mean)[0] == (1, 0.0, None)


def test_decorated_numbers_are_summed_as_they_are_stored(plot: Kept) -> None:
    with plot.begin() as session:
        series = session.get_one(Series, 1)
        series.points = [Point(money=Decimal("1.25"), cents=Decimal("1.25")), Point(cents=Decimal("0.05"))]
        session.flush()
        assert attributes(series, "money", "cents") == (Decimal("1.25"), Decimal("1.30"))
        series.points[0].money = Decimal("2.50")
        series.points[0].cents = None
    assert plot.stored(Series.id, Series.money, Series.cents)[0] == (1, Decimal("2.50"), Decimal("0.05"))
    plot.run(insert(Point), [{"series_id": 1, "cents": Decimal("0.10"), "money": Decimal("0.10")}])
    assert plot.stored(Series.id, Series.money, Series.cents)[0] == (1, Decimal("2.60"), Decimal("0.15"))


async def test_types_in_asynchronous_sessions(async_engine: AsyncEngine) -> None:
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(async_engine)
    system = AsyncSystem(sessions, base=Base)
    async with sessions.begin() as session:
        values: dict[str, Any] = {"exact": Decimal("1.125"), "small": 2, "real": 0.1, "money": Decimal(3), "code": 7}
        series = [Series(points=[Point(**values), Point(colour=Colour.RED)]), Series(points=[Point(**values)])]
        session.add_all(series)
        await session.flush()
        names = "red", "code_seven", "decimals", "floats", "mean", "mean_zero", "money"
        assert attributes(series[0], *names) == (1, True, Decimal("1.125"), 0.1, 0.1, Decimal("0.5625"), 3)
        await session.execute(insert(Point), [{"series_id": series[1].id, **values} for _ in range(3)])
        await session.execute(update(Point).where(Point.real == 0.1).values(real=0.2, exact=None, colour=Colour.BLUE))
    async with sessions() as session:
        columns = Series.not_red, Series.decimals, Series.floats, Series.mean, Series.money, Series.floats_of_ints
        rows = await session.execute(select(*columns).order_by(Series.id))
        assert [tuple(row) for row in rows] == [(1, 0, 0.2, 0.2, 3, 2.0), (4, 0, 0.8, 0.2, 12, 8.0)]
    report = await system.check()
    assert report.ok, report.differences


def test_variants_that_are_alike(keep: Keep) -> None:
    """As keys and numbers are declared for SQLite, whose only serial type is INTEGER."""
    number = BigInteger().with_variant(Integer, "sqlite")

    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(number, primary_key=True)
        total: Mapped[int] = computed(Summation("members", "n"), number)
        members: Mapped[list[Member]] = relationship()

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(number, primary_key=True)
        host_id: Mapped[int] = mapped_column(number, ForeignKey("host.id"))
        n: Mapped[int] = mapped_column(number)

    kept = keep(Base)
    with kept.begin() as session:
        session.add(Host(id=1, members=[Member(n=2), Member(n=2**40)]))
    assert kept.stored(Host.id, Host.total) == [(1, 2 + 2**40)]
