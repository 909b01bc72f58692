"""Hosts whose values and keys lie in the table of a subclass, beside hosts in that of its base."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Numeric, event, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str]
    cost: Mapped[int] = mapped_column(default=1)
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", onupdate="CASCADE"), index=True)
    reports: Mapped[list[Person]] = relationship(foreign_keys=[boss_id], passive_updates=True)
    report_count: Mapped[int] = iq.computed(iq.Count("reports"))
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}


class Engineer(Person):
    """Members find it by its key, and pupils by a number of its own table."""

    __tablename__ = "engineer"
    id: Mapped[int] = mapped_column(ForeignKey("person.id", onupdate="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Numeric(9, 0, asdecimal=False), unique=True)
    lead_id: Mapped[int | None] = mapped_column(ForeignKey("engineer.id", onupdate="CASCADE"), index=True)
    tutor_number: Mapped[int | None] = mapped_column(ForeignKey("engineer.number", onupdate="CASCADE"), index=True)
    skill: Mapped[int] = mapped_column(default=1)
    followers: Mapped[list[Engineer]] = relationship(foreign_keys=[lead_id], passive_updates=True)
    pupils: Mapped[list[Engineer]] = relationship(foreign_keys=[tutor_number], passive_updates=True)
    followers_skill: Mapped[int] = iq.computed(iq.Summation("followers", "skill"))
    followers_cost: Mapped[int] = iq.computed(iq.Summation("followers", "cost"))
    pupils_skill: Mapped[int] = iq.computed(iq.Summation("pupils", "skill"))
    __mapper_args__ = {"polymorphic_identity": "engineer", "inherit_condition": id == Person.id}


def team(keep: Keep) -> Kept:
    """One who leads and teaches three, and a person."""
    kept = keep(Base)
    with kept.begin() as session:
        session.add(Person(id=1, cost=5))
        session.flush()
        session.add(Engineer(id=4, number=40, boss_id=1))
        session.flush()
        session.add_all(
            [Engineer(id=n, number=10 * n, lead_id=4, boss_id=4, tutor_number=40, skill=n, cost=n) for n in (5, 6, 7)]
        )
    return kept


def led(kept: Kept) -> list[tuple[object, ...]]:
    return kept.stored(
        Engineer.id, Engineer.followers_skill, Engineer.followers_cost, Engineer.pupils_skill, Engineer.report_count
    )


def test_updates_by_key_change_no_key(keep: Keep) -> None:
    kept = team(keep)
    statements: list[str] = []
    event.listen(kept.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    rows = [{"id": n, "skill": n + 1, "cost": 2 * n} for n in (4, 5, 6, 7)]
    with kept.begin() as session:
        session.execute(update(Engineer), rows)
    assert not [s for s in statements if "FROM person, engineer" in s]
    assert led(kept) == [(4, 21, 36, 21, 3), (5, 0, 0, 0, 0), (6, 0, 0, 0, 0), (7, 0, 0, 0, 0)]
    with kept.begin() as session:
        session.execute(update(Person), [{"id": n, "cost": 1} for n in (1, 5, 6)])
        session.execute(update(Engineer), [{"id": n, "skill": 1} for n in (5, 6)])
    assert led(kept)[0] == (4, 10, 16, 10, 3)


def test_changed_keys(keep: Keep) -> None:
    """The base table knows nothing of the subclass's keys, and the rows of both change at once."""
    kept = team(keep)
    with kept.begin() as session:
        lead = session.get_one(Engineer, 4)
        lead.id, lead.number = 9, 90
        session.get_one(Person, 1).id = 2
        session.get_one(Engineer, 5).skill = 50
    assert led(kept)[-1] == (9, 63, 18, 63, 3)
    assert led(kept)[0][0] == 5
    with kept.begin() as session:
        session.execute(
            update(Engineer.__table__).where(Engineer.__table__.c.id == 9).values(number=91)  # type: ignore[arg-type]
        )
        session.get_one(Engineer, 6).skill = 60
    assert led(kept)[-1] == (9, 117, 18, 117, 3)
    assert kept.stored(Person.id, Person.report_count)[0] == (2, 1)


def test_rows_of_the_base_beside_it(keep: Keep) -> None:
    """In one statement by key there are rows that the subclass's table does not have."""
    kept = team(keep)
    with kept.begin() as session:
        session.execute(insert(Person), [{"id": 8, "boss_id": 4, "kind": "person"}])
        for person in session.scalars(select(Person)):
            person.id += 10
    assert led(kept)[0] == (14, 18, 18, 18, 4)
