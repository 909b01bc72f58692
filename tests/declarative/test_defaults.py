"""Columns whose value the database, or SQLAlchemy, fills in: deferred, defaults, onupdate, server side, generated."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Computed, FetchedValue, ForeignKey, func, insert, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Count, Summation, computed
from tests.declarative.kept import Keep, Kept
from tests.support.statements import count_statements


class Base(DeclarativeBase):
    pass


class Desk(Base):
    __tablename__ = "desk"
    __mapper_args__ = {"eager_defaults": True}

    id: Mapped[int] = mapped_column(primary_key=True)
    touched: Mapped[int] = mapped_column(default=0, onupdate=text("touched + 1"))
    jobs: Mapped[list[Job]] = relationship(back_populates="desk")
    job_count: Mapped[int] = computed(Count("jobs"), deferred=True)
    weight: Mapped[int] = computed(Summation("jobs", "weight"), deferred=True, deferred_group="sums")
    doubled: Mapped[int] = computed(Summation("jobs", "doubled"))
    rank_sum: Mapped[int] = computed(Summation("jobs", "rank"))
    urgent: Mapped[int] = computed(Count("jobs", where={"state": "urgent"}))


class Job(Base):
    __tablename__ = "job"

    id: Mapped[int] = mapped_column(primary_key=True)
    desk_id: Mapped[int] = mapped_column(ForeignKey("desk.id"), server_default="1")
    desk: Mapped[Desk] = relationship(back_populates="jobs")
    state: Mapped[str] = mapped_column(server_default="new", onupdate="urgent", server_onupdate=FetchedValue())
    weight: Mapped[int] = mapped_column(default=lambda: 3, deferred=True)
    doubled: Mapped[int] = mapped_column(Computed("weight * 2", persisted=True))
    rank: Mapped[int] = mapped_column(default=select(text("40")).scalar_subquery())
    note: Mapped[str | None]


DESKS: tuple[Any, ...] = (Desk.id, Desk.job_count, Desk.weight, Desk.doubled, Desk.rank_sum, Desk.urgent)


@pytest.fixture
def office(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Desk(), Desk()])
        session.flush()
        session.add_all([Job(), Job(desk_id=2, weight=5, state="urgent", rank=1)])
    return kept


def test_values_that_memory_does_not_know_count_as_they_are_stored(office: Kept) -> None:
    assert office.stored(*DESKS) == [(1, 1, 3, 6, 40, 0), (2, 1, 5, 10, 1, 1)]


def test_an_update_of_another_column_fires_onupdate(office: Kept) -> None:
    with office.begin() as session:
        session.get_one(Job, 1).note = "seen"
    assert office.stored(*DESKS) == [(1, 1, 3, 6, 40, 1), (2, 1, 5, 10, 1, 1)]
    office.run(update(Job).where(Job.id == 2).values(state="done"))
    office.run(update(Job).where(Job.id == 1).values(state="old", note="old"))
    assert [row[-1] for row in office.stored(*DESKS)] == [0, 0]
    office.run(update(Job).values(note="again"))
    assert [row[-1] for row in office.stored(*DESKS)] == [1, 1]


def test_sql_expressions_as_values(office: Kept) -> None:
    with office.begin() as session:
        job = session.get_one(Job, 1)
        job.weight = Job.weight * 10  # type: ignore[assignment]
        job.rank = func.abs(-7)  # type: ignore[assignment]
        session.add(Job(desk_id=select(func.max(Desk.id)).scalar_subquery(), weight=func.abs(-1)))
    assert office.stored(*DESKS) == [(1, 1, 30, 60, 7, 1), (2, 2, 6, 12, 41, 1)]


def test_bulk_inserts_get_the_same_defaults(office: Kept) -> None:
    office.run(insert(Job), [{"note": str(n)} for n in range(3)])
    office.run(insert(Job).values(weight=1))
    assert office.stored(*DESKS)[0] == (1, 5, 13, 26, 200, 0)


def test_computed_values_do_not_fire_onupdate_of_their_row(office: Kept) -> None:
    office.run(insert(Job), [{"desk_id": 1}, {"desk_id": 2}])
    with office.begin() as session:
        session.add(Job(desk_id=1))
    assert office.stored(Desk.id, Desk.touched, Desk.job_count) == [(1, 0, 3), (2, 0, 2)]


def test_deferred_columns_are_kept_fresh_once_they_are_loaded(office: Kept) -> None:
    with office.begin() as session:
        desk = session.get_one(Desk, 1)
        assert desk.job_count == 1
        session.add(Job(desk=desk, weight=4))
        session.flush()
        with count_statements(office.engine) as statements:
            assert desk.job_count == 2
        assert statements == []
        assert desk.weight == 7


def test_fetched_defaults_of_a_new_host(office: Kept) -> None:
    with office.begin() as session:
        desk = Desk(jobs=[Job(weight=8)])
        session.add(desk)
        session.flush()
        with count_statements(office.engine) as statements:
            assert (desk.urgent, desk.doubled, desk.rank_sum) == (0, 16, 40)
        assert statements == []
