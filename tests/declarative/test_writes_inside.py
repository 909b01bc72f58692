"""Writes inside other statements are followed where they are all of it, and refused elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, insert, inspect, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

from interaqt_sa import Count, System, UnmanagedWriteError, computed
from tests.declarative.kept import Keep, Kept
from tests.support.engines import EngineFactory


class Base(DeclarativeBase):
    pass


class Club(Base):
    __tablename__ = "club"
    id: Mapped[int] = mapped_column(primary_key=True)
    members: Mapped[list[Member]] = relationship(passive_deletes=True)
    member_count: Mapped[int] = computed(Count("members"))


class Person(Base):
    """Nothing is declared on it, but what is goes with it."""

    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)


class Member(Base):
    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True)
    club_id: Mapped[int] = mapped_column(ForeignKey("club.id"))
    person_id: Mapped[int | None] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    rank: Mapped[int] = mapped_column(default=0)
    club: Mapped[Club] = relationship(viewonly=True)


class Note(Base):
    """Nothing depends on it."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    about: Mapped[int]


@pytest.fixture
def postgres_engine(engine_for: EngineFactory) -> Engine:
    """Only PostgreSQL writes in CTEs."""
    return engine_for("psycopg")


def fill(kept: Kept) -> Kept:
    with kept.begin() as session:
        session.add_all([Person(id=1), Club(id=1, members=[Member(person_id=1)])])
    return kept


JOIN = insert(Member).values(club_id=1, rank=0).returning(Member.id, Member.club_id)


def _added() -> Any:
    return update(Member).values(rank=1).add_cte(insert(Member.__table__).values(club_id=1, rank=0).cte("added"))


CTES: dict[str, tuple[str, str, Callable[[], Any]]] = {
    "select": ("insert", "member", lambda: select(JOIN.cte().c.id)),
    "deeper": ("insert", "member", lambda: select(Note).where(Note.about.in_(select(JOIN.cte().c.id)))),
    "insert": ("insert", "member", lambda: insert(Note).from_select(["about"], select(JOIN.cte().c.club_id))),
    "followed": ("insert", "member", _added),
    "delete": ("delete", "person", lambda: select(delete(Person).returning(Person.id).cte().c.id)),
    "asked": (
        "insert",
        "note",
        lambda: (
            update(Member)
            .where(Member.id.in_(select(insert(Note).values(about=1).returning(Note.about).cte().c.about)))
            .values(rank=1)
        ),
    ),
}


@pytest.mark.parametrize(("verb", "table", "make"), CTES.values(), ids=CTES)
@pytest.mark.postgres
def test_in_a_cte(postgres_engine: Engine, verb: str, table: str, make: Callable[[], Any]) -> None:
    kept = fill(Kept(postgres_engine, Base))
    for _ in range(2):  # the second time the statement is compiled already
        expected = rf"this {verb} on '{table}' is part of another statement.*run it separately with session\.execute"
        with pytest.raises(UnmanagedWriteError, match=expected) as caught, kept.begin() as session:
            session.execute(make())
        assert caught.value.table == table
    assert kept.stored(Club.id, Club.member_count) == [(1, 1)]
    assert kept.stored(Note.id) == []


@pytest.mark.parametrize(
    "statement",
    [
        insert(Member).values(club_id=1).returning(Member),
        update(Member).values(rank=2).returning(Member),
        delete(Member).returning(Member),
    ],
    ids=["insert", "update", "delete"],
)
def test_in_from_statement(keep: Keep, statement: Any) -> None:
    kept = fill(keep(Base))
    with kept.begin() as session:
        (member,) = session.scalars(select(Member).from_statement(statement)).all()
        assert isinstance(member, Member)
    kept.verify()
    with kept.begin() as session:
        again = session.scalars(statement).all()
    assert len(again) == (0 if statement.is_delete else 1)
    kept.verify()


def test_what_from_statement_is_told_about_loading(keep: Keep) -> None:
    kept = fill(keep(Base))
    with kept.begin() as session:
        held = session.get_one(Member, 1)
        statement = update(Member).values(rank=Member.rank + 5).returning(Member)
        loading = select(Member).from_statement(statement).options(selectinload(Member.club))
        options = {"populate_existing": True, "synchronize_session": False}
        assert session.scalars(loading, execution_options=options).one() is held
        assert held.rank == 5
        assert "club" in inspect(held).dict
    kept.verify()


@pytest.mark.parametrize(
    ("verb", "statement"),
    [
        ("insert", insert(Member.__table__).values(club_id=1, rank=0).returning(Member.__table__)),
        ("update", update(Member.__table__).values(rank=2).returning(Member.__table__)),
        ("delete", delete(Member.__table__.alias("m")).returning(Member.__table__.alias("m"))),
    ],
)
def test_of_a_table_in_from_statement(keep: Keep, verb: str, statement: Any) -> None:
    kept = fill(keep(Base))
    with pytest.raises(UnmanagedWriteError, match=f"this {verb} on 'member' is part"), kept.begin() as session:
        session.scalars(select(Member).from_statement(statement)).all()
    assert kept.stored(Club.id, Club.member_count) == [(1, 1)]


@pytest.mark.postgres
def test_what_nothing_depends_on(postgres_engine: Engine) -> None:
    kept = fill(Kept(postgres_engine, Base))
    noted = insert(Note).values(about=1).returning(Note.about)
    with kept.begin() as session:
        assert session.scalars(select(noted.cte().c.about)).all() == [1]
        assert session.scalars(select(Note).from_statement(noted.returning(Note))).one().about == 1
        chosen = select(Member.club_id).cte()
        session.execute(insert(Member).from_select(["club_id", "rank"], select(chosen.c.club_id, 3)))
    assert kept.stored(Club.id, Club.member_count) == [(1, 2)]
    assert len(kept.stored(Note.id)) == 2


def test_as_the_system_was_told(keep: Keep) -> None:
    kept = fill(keep(Base))
    table = Member.__table__
    inner = select(Member).from_statement(insert(table).values(club_id=1, rank=0).returning(table))
    kept.system.detach(kept.sessions)
    system = System(kept.sessions, base=Base, unmanaged_dml="warn")
    with pytest.warns(UserWarning, match="is part of another statement"), kept.begin() as session:
        session.scalars(inner).all()
    system.repair()
    kept.verify()


def test_a_delete_past_the_session_that_takes_watched_rows_along(keep: Keep) -> None:
    """The table itself is nobody's business, but its members go with its rows."""
    kept = fill(keep(Base))
    with kept.begin() as session:
        connection = session.connection()
        with pytest.raises(UnmanagedWriteError, match="'person'"):
            connection.execute(delete(Person))
        connection.execute(delete(Note))
    with kept.begin() as session:
        session.delete(session.get_one(Person, 1))
    assert kept.stored(Club.member_count) == [(0,)]
