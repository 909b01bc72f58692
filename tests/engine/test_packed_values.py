"""A value is stored by the engine as an INSERT of the application would store it, whatever its type and its part."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, delete, event, func, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.typed_samples import EVERYWHERE, KEYS, POSTGRESQL
from tests.support.engines import AsyncEngineFactory, EngineFactory

ALL = EVERYWHERE | POSTGRESQL


def cases(names: dict[str, Any] | list[str], drivers: tuple[str, str]) -> list[Any]:
    """Pair each type with the drivers that have it."""
    lite, postgres = drivers
    on_lite = [pytest.param(lite, name, id=f"{lite}-{name}") for name in names if name in EVERYWHERE]
    return on_lite + [pytest.param(postgres, name, id=f"{postgres}-{name}") for name in names]


def computed_models(type_: Any, samples: list[Any], *, nullable: bool) -> tuple[Any, Any, Any]:
    """Return a base, a class with a value of the type for each place, and rows derived from it."""

    class Base(DeclarativeBase):
        pass

    class Sample(Base):
        """`plain` is what the application stores, `value` and `Copy.value` are what the engine does."""

        __tablename__ = "sample"
        id: Mapped[int] = mapped_column(primary_key=True)
        place: Mapped[int]
        plain: Mapped[Any] = mapped_column(type_, nullable=True)
        value: Mapped[Any] = iq.computed(lambda row: samples[row.place], type_, nullable=nullable)

    class Copy(Base):
        __tablename__ = "copy"
        __computation__ = iq.Transform(Sample, lambda row: {"of": row.id, "value": samples[row.place]})
        id: Mapped[int] = mapped_column(primary_key=True)
        of: Mapped[int]
        value: Mapped[Any] = mapped_column(type_, nullable=nullable)

    return Base, Sample, Copy


def write_computed(session: Session, Sample: Any, Copy: Any, samples: list[Any]) -> None:  # noqa: N803
    """Insert and update by every route, and compare."""
    places = list(range(len(samples)))
    session.execute(insert(Sample), [{"id": 1 + p, "place": p, "plain": samples[p]} for p in places])
    _compare(session, Sample, Copy)
    turned = [*places[1:], places[0]]
    session.add_all([Sample(id=100 + p, place=p, plain=samples[p]) for p in places])
    session.flush()
    _compare(session, Sample, Copy)
    for row in session.scalars(select(Sample).order_by(Sample.id)):
        row.place = turned[row.place]
        row.plain = samples[row.place]
    session.flush()
    _compare(session, Sample, Copy)
    shown = {row.id: row.value for row in session.scalars(select(Sample))}
    assert repr(shown) == repr(_by_key(session, Sample.id, Sample.value))
    for place in places:
        where = Sample.place == place
        session.execute(update(Sample).where(where).values(plain=samples[turned[place]]), execution_options=_AS_IT_IS)
    moved = func.mod(Sample.place + 1, len(samples)) if len(samples) > 1 else Sample.place
    session.execute(update(Sample).values(place=moved), execution_options=_AS_IT_IS)
    _compare(session, Sample, Copy)


def _by_key(session: Session, key: Any, value: Any) -> dict[Any, Any]:
    return {row[0]: row[1] for row in session.execute(select(key, value))}


_AS_IT_IS = {"synchronize_session": False}


def _compare(session: Session, Sample: Any, Copy: Any) -> None:  # noqa: N803
    stored = session.execute(select(Sample.id, Sample.plain, Sample.value).order_by(Sample.id)).all()
    copies = _by_key(session, Copy.of, Copy.value)
    assert stored
    assert copies.keys() == {row.id for row in stored}
    for key, plain, value in stored:
        # repr: NaN is NaN, 1 is not 1.0 and not True
        assert repr(value) == repr(plain), key
        assert repr(copies[key]) == repr(plain), key


def create(connection: Any, base: Any) -> None:
    if connection.dialect.name == "postgresql":
        for extension in ("hstore", "citext"):
            connection.execute(text(f"CREATE EXTENSION IF NOT EXISTS {extension}"))
    base.metadata.create_all(connection)


@pytest.mark.parametrize(("driver", "name"), cases(ALL, ("pysqlite", "psycopg")))
def test_computed_values(engine_for: EngineFactory, driver: str, name: str) -> None:
    """First where nobody listens to the connection, and with NULL among the values."""
    type_, samples = ALL[name]
    engine = engine_for(driver)
    for values, nullable in (([*samples, None], True), (samples, False)):
        base, sample, copy = computed_models(type_, values, nullable=nullable)
        system = iq.System(engine, base=base)
        with engine.begin() as connection:
            create(connection, base)
        with system.session_factory.begin() as session:
            write_computed(session, sample, copy, values)
        assert system.check().ok, system.check().differences
        base.metadata.drop_all(engine)
        event.listen(engine, "after_cursor_execute", _nothing)


def _nothing(*_: Any) -> None: ...


@pytest.mark.parametrize(("driver", "name"), cases(ALL, ("aiosqlite", "asyncpg")))
async def test_computed_values_async(async_engine_for: AsyncEngineFactory, driver: str, name: str) -> None:
    type_, samples = ALL[name]
    engine = async_engine_for(driver)
    for values, nullable in (([*samples, None], True), (samples, False)):
        base, sample, copy = computed_models(type_, values, nullable=nullable)
        system = iq.AsyncSystem(engine, base=base)
        async with engine.begin() as connection:
            await connection.run_sync(create, base)
        async with system.session_factory.begin() as session:
            await session.run_sync(write_computed, sample, copy, values)
        assert (await system.check()).ok
        async with engine.begin() as connection:
            await connection.run_sync(base.metadata.drop_all)
        event.listen(engine.sync_engine, "after_cursor_execute", _nothing)


# -- keys --------------------------------------------------------------------------------------------------------------


def keyed_models(type_: Any) -> tuple[Any, Any, Any, Any]:
    class Base(DeclarativeBase):
        pass

    class Top(Base):
        __tablename__ = "top"
        id: Mapped[Any] = mapped_column(type_, primary_key=True, autoincrement=False)
        weight: Mapped[int] = iq.computed(iq.Summation("hosts", "weight"))
        hosts: Mapped[list[Host]] = relationship(back_populates="top")

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[Any] = mapped_column(type_, primary_key=True, autoincrement=False)
        part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
        top_id: Mapped[Any] = mapped_column(ForeignKey("top.id"))
        weight: Mapped[int] = iq.computed(iq.Summation("members", "weight"))
        twice: Mapped[int] = iq.computed(lambda host: host.weight * 2)
        top: Mapped[Top] = relationship(back_populates="hosts")
        members: Mapped[list[Member]] = relationship(
            back_populates="host", primaryjoin=lambda: (Host.id == Member.host_id) & (Host.part == Member.part)
        )

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[Any] = mapped_column(type_, primary_key=True, autoincrement=False)
        host_id: Mapped[Any] = mapped_column(type_)
        part: Mapped[int] = mapped_column(default=1)
        weight: Mapped[int]
        host: Mapped[Host] = relationship(
            back_populates="members",
            primaryjoin=lambda: (Host.id == Member.host_id) & (Host.part == Member.part),
            foreign_keys=lambda: [Member.host_id, Member.part],
        )

    Member.__table__.append_constraint(_reference(Host))  # type: ignore[attr-defined]
    return Base, Top, Host, Member


def _reference(host: Any) -> Any:
    from sqlalchemy import ForeignKeyConstraint

    return ForeignKeyConstraint(["host_id", "part"], [host.__table__.c.id, host.__table__.c.part])


def write_keyed(session: Session, Top: Any, Host: Any, Member: Any, keys: list[Any]) -> None:  # noqa: N803
    session.add_all([Top(id=key) for key in keys])
    session.flush()
    session.add_all([Host(id=key, top_id=key) for key in keys])
    session.flush()
    rows = [{"id": key, "host_id": key, "part": 1, "weight": n + 1} for n, key in enumerate(keys)]
    session.execute(insert(Member), rows)
    assert _weights(session, Top) == _weights(session, Host) == sorted(range(1, len(keys) + 1))
    session.execute(update(Member).values(weight=Member.weight * 10), execution_options=_AS_IT_IS)
    assert _weights(session, Top) == [10 * n for n in range(1, len(keys) + 1)]
    for member in session.scalars(select(Member)):
        member.host_id = keys[0]
    session.flush()
    total = 10 * sum(range(1, len(keys) + 1))
    assert _weights(session, Top) == _weights(session, Host) == [*[0] * (len(keys) - 1), total]
    assert max(session.scalars(select(Host.twice))) == 2 * total
    session.execute(delete(Member).where(Member.weight > 10), execution_options=_AS_IT_IS)
    assert max(_weights(session, Top)) == 10


def _weights(session: Session, mapped: Any) -> list[int]:
    return sorted(session.scalars(select(mapped.weight)))


@pytest.mark.parametrize(("driver", "name"), cases(KEYS, ("pysqlite", "psycopg")))
def test_keys(engine_for: EngineFactory, driver: str, name: str) -> None:
    type_, keys = ALL[name]
    base, *classes = keyed_models(type_)
    engine = engine_for(driver)
    system = iq.System(engine, base=base)
    base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        write_keyed(session, *classes, keys)  # type: ignore[arg-type]
    assert system.check().ok, system.check().differences


@pytest.mark.parametrize(("driver", "name"), cases(KEYS, ("aiosqlite", "asyncpg")))
async def test_keys_async(async_engine_for: AsyncEngineFactory, driver: str, name: str) -> None:
    type_, keys = ALL[name]
    base, *classes = keyed_models(type_)
    engine = async_engine_for(driver)
    system = iq.AsyncSystem(engine, base=base)
    async with engine.begin() as connection:
        await connection.run_sync(base.metadata.create_all)
    async with system.session_factory.begin() as session:
        await session.run_sync(write_keyed, *classes, keys)
    assert (await system.check()).ok
