"""Triggers of the application that send a member to another host than it was written for."""

from __future__ import annotations

import pytest
from sqlalchemy import DDL, ForeignKey, event, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem


class Base(DeclarativeBase):
    pass


class Top(Base):
    __tablename__ = "top"

    id: Mapped[int] = mapped_column(primary_key=True)
    middles: Mapped[list[Middle]] = relationship()
    total: Mapped[int] = iq.computed(iq.Summation("middles", "total"))
    even: Mapped[int] = iq.computed(iq.Summation("middles", "total", where={"parity": "even"}))
    most: Mapped[int | None] = iq.computed(iq.Max("middles", "total"))


class Middle(Base):
    __tablename__ = "middle"

    id: Mapped[int] = mapped_column(primary_key=True)
    top_id: Mapped[int] = mapped_column(ForeignKey("top.id"))
    members: Mapped[list[Member]] = relationship()
    total: Mapped[int] = iq.computed(iq.Summation("members", "value"))
    parity: Mapped[str] = iq.computed(lambda middle: "odd" if middle.total % 2 else "even")
    notes: Mapped[list[Note]] = relationship()


class Member(Base):
    __tablename__ = "member"

    id: Mapped[int] = mapped_column(primary_key=True)
    middle_id: Mapped[int] = mapped_column(ForeignKey("middle.id"))
    value: Mapped[int]


class Note(Base):
    """Counts by what its middle has: a value that is read along a path."""

    __tablename__ = "note"

    id: Mapped[int] = mapped_column(primary_key=True)
    middle_id: Mapped[int] = mapped_column(ForeignKey("middle.id"))
    middle: Mapped[Middle] = relationship(viewonly=True)
    board_id: Mapped[int] = mapped_column(ForeignKey("board.id"))


class Board(Base):
    __tablename__ = "board"

    id: Mapped[int] = mapped_column(primary_key=True)
    notes: Mapped[list[Note]] = relationship()
    seen: Mapped[int] = iq.computed(iq.Summation("notes", "middle.total"))


event.listen(
    Member.__table__,
    "after_create",
    DDL(
        "CREATE TRIGGER moves AFTER INSERT ON member BEGIN "
        "UPDATE member SET middle_id = 3 WHERE id = new.id AND new.value > 100; END"
    ).execute_if(dialect="sqlite"),
)
event.listen(
    Member.__table__,
    "after_create",
    DDL(
        "CREATE FUNCTION moves() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF new.value > 100 THEN new.middle_id := 3; END IF; RETURN new; END $$; "
        "CREATE TRIGGER moves BEFORE INSERT ON member FOR EACH ROW EXECUTE FUNCTION moves()"
    ).execute_if(dialect="postgresql"),
)


@pytest.mark.parametrize("way", ["one", "several", "bulk", "change"])
def test_members_that_a_trigger_moves(make_system: MakeSystem, way: str) -> None:
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Top(id=1), Top(id=2), Board(id=1)])
        session.flush()
        session.add_all(Middle(id=i, top_id=1 + i // 3) for i in (1, 2, 3))
        session.flush()
        session.add_all(Note(id=i, middle_id=i, board_id=1) for i in (1, 2, 3))
        session.add_all(Member(middle_id=i, value=i) for i in (1, 2, 3))
    with system.session_factory.begin() as session:
        match way:
            case "one":
                session.add(Member(middle_id=1, value=202))
            case "several":
                session.add_all(Member(middle_id=1 + i % 2, value=200 + i) for i in range(4))
            case "bulk":
                session.execute(insert(Member), [{"middle_id": 1, "value": 202}, {"middle_id": 2, "value": 1}])
            case _:
                session.add(Member(id=50, middle_id=2, value=105))
                session.flush()
                session.execute(update(Member).where(Member.id == 50).values(value=6))
    with system.session_factory.begin() as session:
        assert session.scalar(select(Middle.total).where(Middle.id == 3)) != 3
    assert system.check().ok, system.check().differences
