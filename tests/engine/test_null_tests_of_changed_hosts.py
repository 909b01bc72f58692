"""What a host contributes in turn may ask whether its columns are NULL.

SQLite answers wrong in RETURNING where the column before is NOT NULL, so that such contributions are read by a SELECT.
"""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKey, delete, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem


class Base(DeclarativeBase):
    pass


class Top(Base):
    __tablename__ = "top"

    id: Mapped[int] = mapped_column(primary_key=True)
    middles: Mapped[list[Middle]] = relationship()
    unnamed: Mapped[int] = iq.computed(iq.Summation("middles", "size", where={"name": None}))
    named: Mapped[int] = iq.computed(iq.Summation("middles", "size", where=lambda m: m.name.is_not(None)))
    least: Mapped[int] = iq.computed(iq.Summation("middles", "lowest"))
    mean: Mapped[float] = iq.computed(iq.Average("middles", "lowest"))


class Middle(Base):
    __tablename__ = "middle"

    id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int] = mapped_column(default=1)  # NOT NULL, and before one that may be NULL
    name: Mapped[str | None]
    note: Mapped[int] = mapped_column(default=1)
    lowest: Mapped[int | None] = iq.computed(iq.Min("members", "value"))
    top_id: Mapped[int] = mapped_column(ForeignKey("top.id"))
    members: Mapped[list[Member]] = relationship()
    size: Mapped[int] = iq.computed(iq.Count("members"))


class Member(Base):
    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True)
    middle_id: Mapped[int] = mapped_column(ForeignKey("middle.id"))
    value: Mapped[int | None]


@pytest.mark.parametrize("count", [1, 3])
def test_null_tests_of_changed_hosts(make_system: MakeSystem, count: int) -> None:
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Top(id=1, middles=[Middle(id=1), Middle(id=2, name="b"), Middle(id=3)]))
    for middle, value in ((1, None), (2, 7), (3, 4), (1, 5), (3, None)):
        with system.session_factory.begin() as session:
            session.add_all(Member(middle_id=middle, value=value) for _ in range(count))
        assert system.check()
    with system.session_factory.begin() as session:
        top = session.get_one(Top, 1)
        assert (top.unnamed, top.named, top.least) == (4 * count, count, 16)
        assert top.mean == pytest.approx(16 / 3)
        session.execute(delete(Member))
    with system.session_factory.begin() as session:
        top = session.get_one(Top, 1)
        assert (top.unnamed, top.named, top.least, top.mean) == (0, 0, 0, 0)
        assert session.scalar(select(func.count(Member.id))) == 0
    assert system.check()
