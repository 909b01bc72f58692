"""Rows of a bulk insert into a mapped class: plain ones are handed to the database as they stand, others to the ORM."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, event, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    weight: Mapped[int] = iq.computed(iq.Summation("things", "weight"))
    things: Mapped[list[Thing]] = relationship(back_populates="box")


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)
    weight: Mapped[int | None] = mapped_column(server_default="7")
    colour: Mapped[str] = mapped_column("paint", default="red")
    box: Mapped[Box] = relationship(back_populates="things")


@pytest.fixture
def session(engine: Engine) -> Any:
    factory = sessionmaker(engine)
    system = iq.System(factory, base=Base)
    Base.metadata.create_all(engine)
    with factory() as session:
        session.add_all([Box(id=1), Box(id=2)])
        session.commit()
        yield session
        session.commit()
        assert system.check().ok


CASES = {
    "plain": ([{"box_id": 1, "weight": 2}, {"box_id": 2, "weight": 3}], [(1, 2, "red"), (2, 3, "red")]),
    "keys": ([{"id": 9, "box_id": 1, "weight": 2}], [(1, 2, "red")]),
    "renamed": ([{"box_id": 1, "weight": 2, "colour": "blue"}], [(1, 2, "blue")]),
    # the ORM leaves None to the default
    "none": ([{"box_id": 1, "weight": None}], [(1, 7, "red")]),
    "different": ([{"box_id": 1, "weight": 2}, {"box_id": 2}], [(1, 2, "red"), (2, 7, "red")]),
}


@pytest.mark.parametrize("case", CASES)
def test_all_kinds_of_rows(session: Session, case: str) -> None:
    rows, stored = CASES[case]
    session.execute(insert(Thing), rows)
    things = session.scalars(select(Thing).order_by(Thing.box_id))
    assert [(thing.box_id, thing.weight, thing.colour) for thing in things] == stored


def test_rows_without_names(session: Session) -> None:
    session.execute(insert(Thing).values([(1, 1, 2, "red"), (2, 2, 3, "red")]))
    session.execute(insert(Thing).values((3, 1, 4, "red")))
    dialect = session.get_bind().dialect.name
    upsert = postgresql.insert(Thing) if dialect == "postgresql" else sqlite.insert(Thing)
    statement = upsert.values([(1, 1, 5, "blue"), (4, 2, 6, "blue")])
    given = {"weight": statement.excluded.weight}
    session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=given))
    assert list(session.scalars(select(Box.weight).order_by(Box.id))) == [9, 9]


def test_listeners_of_the_application_see_every_insert(session: Session) -> None:
    seen: list[bool] = []
    event.listen(session, "do_orm_execute", lambda state: seen.append(state.is_insert))
    session.execute(insert(Thing), [{"box_id": 1, "weight": 2}, {"box_id": 2, "weight": 3}])
    assert seen == [True]


class Judged(Base):
    """A class with hidden columns."""

    __tablename__ = "judged"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    stars: Mapped[float] = iq.computed(iq.Average("verdicts", "stars"))
    verdicts: Mapped[list[Verdict]] = relationship()


class Verdict(Base):
    __tablename__ = "verdict"
    id: Mapped[int] = mapped_column(primary_key=True)
    judged_id: Mapped[int] = mapped_column(ForeignKey("judged.id"))
    stars: Mapped[int]


def test_update_by_key_of_a_class_with_hidden_columns(session: Session) -> None:
    session.add(Judged(id=1, title="a", verdicts=[Verdict(id=1, stars=3), Verdict(id=2, stars=4)]))
    session.flush()
    session.execute(update(Judged), [{"id": 1, "title": "b"}])
    session.execute(update(Verdict), [{"id": 1, "stars": 5}])
    assert session.execute(select(Judged.title, Judged.stars)).all() == [("b", 4.5)]
