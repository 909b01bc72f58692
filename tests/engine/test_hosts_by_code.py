"""Hosts that members know by another column than the primary key: locked in order too, one of them or several."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
from sqlalchemy import ForeignKey, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true, engine_of
from tests.engine.workload import Conflicts
from tests.support.statements import count_statements
from tests.support.torture import Torture

pytestmark = pytest.mark.postgres


class Base(DeclarativeBase):
    pass


class Region(Base):
    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    visits: Mapped[int] = iq.computed(iq.Summation("shelves", "visits"))
    shelves: Mapped[list[Shelf]] = relationship(back_populates="region")


class Shelf(Base):
    """Several have the same code: a visit counts for all of them."""

    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[int]
    region_id: Mapped[int] = mapped_column(ForeignKey("region.id"))
    visits: Mapped[int] = iq.computed(iq.Count("visitors"))
    region: Mapped[Region] = relationship(back_populates="shelves")
    visitors: Mapped[list[Visit]] = relationship(primaryjoin="foreign(Visit.code) == Shelf.code", viewonly=True)


class Visit(Base):
    __tablename__ = "visit"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[int]


class Group(Base):
    """Before `Maker` in the lock order, and known by its code."""

    __tablename__ = "group_"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    parts: Mapped[int] = iq.computed(iq.Count("members"))
    members: Mapped[list[Part]] = relationship(back_populates="group")


class Maker(Base):
    __tablename__ = "maker"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[int] = mapped_column(default=0)
    parts: Mapped[int] = iq.computed(iq.Count("made"))
    made: Mapped[list[Part]] = relationship(back_populates="maker")


class Part(Base):
    __tablename__ = "part"
    id: Mapped[int] = mapped_column(primary_key=True)
    maker_id: Mapped[int] = mapped_column(ForeignKey("maker.id"))
    group_code: Mapped[str] = mapped_column(ForeignKey("group_.code"))
    maker: Mapped[Maker] = relationship(back_populates="made")
    group: Mapped[Group] = relationship(back_populates="members")


@pytest.fixture
def system(make_postgres_system: MakeSystem) -> iq.System:
    """Return a system with eight shelves of one code, two groups and two makers."""
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Region(id=n) for n in range(1, 9)])
        session.add_all([Maker(id=1), Maker(id=2), Group(id=1, code="a"), Group(id=2, code="b")])
        session.flush()
        session.add_all([Shelf(id=n, code=1, region_id=9 - n) for n in range(1, 9)])
    return system


def _visit(session: Session, random: Random) -> None:
    session.add(Visit(code=1))


def _move_shelf(session: Session, random: Random) -> None:
    session.get_one(Shelf, random.randint(1, 8)).region_id = random.randint(1, 8)


def _add_part(session: Session, random: Random) -> None:
    session.add(Part(maker_id=random.randint(1, 2), group_code=random.choice("ab")))


def _add_part_and_change_maker(session: Session, random: Random) -> None:
    maker = session.get_one(Maker, random.randint(1, 2))
    maker.note += 1
    group = session.get_one(Group, random.randint(1, 2))
    by_key = random.random() < 0.5
    session.add(Part(maker_id=maker.id, group_code=group.code) if by_key else Part(maker=maker, group=group))


def _add_parts(session: Session, random: Random) -> None:
    rows = [{"maker_id": m, "group_code": code} for m, code in ((2, "b"), (1, "a"))]
    session.execute(insert(Part), rows)


@pytest.mark.concurrency
@pytest.mark.parametrize(
    "writes",
    [
        [_visit],
        [_visit, _visit, _move_shelf],
        [_add_part, _add_part_and_change_maker],
        [_add_parts, _add_part_and_change_maker],
    ],
)
def test_no_deadlock(system: iq.System, writes: list[Callable[[Session, Random], None]], torture: Torture) -> None:
    conflicts = Conflicts(engine_of(system))

    def work(number: int) -> None:
        random = Random(number)
        for _ in range(torture.rounds):
            with system.session_factory() as session:
                session.autoflush = False
                writes[number % len(writes)](session, random)
                session.commit()

    with ThreadPoolExecutor(torture.workers) as pool:
        for future in [pool.submit(work, number) for number in range(torture.workers)]:
            future.result()
    assert_true(system)
    assert not conflicts, (conflicts, conflicts.details)


def test_several_hosts_of_one_key_are_locked_before_they_are_updated(system: iq.System) -> None:
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        session.add(Visit(code=1))
    begin = [" ".join(s.split()[:2]) if not s.startswith("SELECT") else s.rpartition(" OF ")[2] for s in statements]
    # without a foreign key, a lock on the code comes first
    assert begin[0] == "INSERT INTO", begin
    assert begin[-4:] == ["shelf", "UPDATE shelf", "region", "UPDATE region"], begin


def test_one_host_with_a_unique_key_needs_no_lock_of_its_own(system: iq.System) -> None:
    with count_statements(engine_of(system)) as statements, system.session_factory.begin() as session:
        session.add(Part(maker_id=1, group_code="a"))
    assert not [s for s in statements if " FOR " in s], statements
