"""Checks of a key range, of listed keys and of whole tables, and how far they are."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, ForeignKeyConstraint, event, insert, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Room(Base):
    __tablename__ = "checked_room"
    house: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    guests: Mapped[list[Guest]] = relationship()
    count: Mapped[int] = iq.computed(iq.Count("guests"))


class Guest(Base):
    __tablename__ = "checked_guest"
    id: Mapped[int] = mapped_column(primary_key=True)
    house: Mapped[str]
    number: Mapped[int]
    bags: Mapped[list[Bag]] = relationship()
    weight: Mapped[int] = iq.computed(iq.Summation("bags", "weight"))
    __table_args__ = (ForeignKeyConstraint(["house", "number"], [Room.house, Room.number]),)


class Bag(Base):
    __tablename__ = "checked_bag"
    id: Mapped[int] = mapped_column(primary_key=True)
    guest_id: Mapped[int] = mapped_column(ForeignKey(Guest.id))
    weight: Mapped[int]


@pytest.fixture
def system(engine: Engine) -> iq.System:
    """A large and a small house with a guest in each room; SQL has broken two counts in the one, one in the other."""
    Base.metadata.create_all(engine)
    found = iq.System(engine, base=Base, unattached="allow")
    with found.session_factory.begin() as session:
        rooms = [{"house": "a", "number": n} for n in range(1, 1401)] + [{"house": "b", "number": n} for n in (1, 2)]
        session.execute(insert(Room), rooms)
        session.execute(insert(Guest), rooms)
    with engine.begin() as connection:
        connection.execute(text("UPDATE checked_room SET count = 7 WHERE number IN (1, 1400)"))
    return found


def _ids(report: iq.CheckReport) -> list[Any]:
    return sorted(difference.id for difference in report.differences)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (None, [("a", 1), ("a", 1400), ("b", 1)]),
        (iq.KeyRange(("a", 2), ("b", 1)), [("a", 1400), ("b", 1)]),
        (iq.KeyRange(first=("b", 1)), [("b", 1)]),
        (iq.KeyRange(last=("a", 1)), [("a", 1)]),
        (iq.KeyRange(("c", 1)), []),
        ([("a", 1), ("a", 2)], [("a", 1)]),
        (lambda: iter([("b", 1)]), [("b", 1)]),
    ],
    ids=["all", "range", "from", "to", "empty", "list", "iterator"],
)
def test_only_these_rows_are_compared_and_corrected(system: iq.System, keys: Any, expected: list[Any]) -> None:
    keys = keys() if callable(keys) else keys
    assert _ids(system.repair(Room, keys=keys)) == expected
    left = {("a", 1), ("a", 1400), ("b", 1)} - set(expected)
    assert _ids(system.check(Room)) == sorted(left)


def test_progress_is_told_after_each_batch(system: iq.System) -> None:
    told: list[iq.CheckProgress] = []
    system.check(Room, progress=told.append)
    assert told == [iq.CheckProgress("Room", done, 1402) for done in (1000, 1402)]
    told.clear()
    system.repair(Room, keys=iq.KeyRange(last=("a", 1200)), progress=told.append)
    assert told[-2:] == [iq.CheckProgress("Room", 1000, 1200), iq.CheckProgress("Room", 1200, 1200)]
    told.clear()
    system.check(Room, keys=[("a", 1)], progress=told.append)
    assert told == [iq.CheckProgress("Room", 1, 1)]


def test_rows_are_counted_only_for_progress(system: iq.System, engine: Engine) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    system.check(Guest)
    assert not [statement for statement in statements if "count(*)" in statement.lower()]
    system.check(Guest, progress=lambda _: None)
    assert len([statement for statement in statements if "count(*)" in statement.lower()]) == 1


def test_a_range_needs_all_columns_of_the_key(system: iq.System) -> None:
    with pytest.raises(iq.FrameworkError, match=r"checked_room.*house, number"):
        system.check(Room, keys=iq.KeyRange(3))
