"""An upsert does with a System what it does without one, by whatever unique key, and its computed values follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import ColumnElement, Engine, ForeignKey, Index, String, UniqueConstraint, func, literal, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Kept


class Base(DeclarativeBase):
    pass


class Team(Base):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    members: Mapped[list[Member]] = relationship()
    size: Mapped[int] = iq.computed(iq.Count("members"))
    points: Mapped[int] = iq.computed(iq.Summation("members", "points"))


class Member(Base):
    __tablename__ = "member"
    __table_args__ = (
        UniqueConstraint("team_id", "seat", name="seats"),
        UniqueConstraint("badge", "zone", name="badges", postgresql_nulls_not_distinct=True),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    seat: Mapped[int | None]
    mail: Mapped[str]
    code: Mapped[str] = mapped_column("the_code", String, unique=True, key="code_key")
    note: Mapped[str | None] = mapped_column("note_text")
    state: Mapped[str] = mapped_column(default="active")
    badge: Mapped[int | None]
    zone: Mapped[int | None]
    points: Mapped[int] = mapped_column(default=0)
    label: Mapped[str] = iq.computed(lambda member: f"{member.mail}:{member.points}")


TABLE: Any = Member.__table__
Index("lower_mail", func.lower(TABLE.c.mail), unique=True)
Index(
    "active_notes",
    TABLE.c.note_text,
    unique=True,
    postgresql_where=TABLE.c.state == "active",
    sqlite_where=TABLE.c.state == "active",
)


@pytest.fixture
def teams(engine: Engine) -> Kept:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.add_all([Team(id=1), Team(id=2)])
        session.flush()
        session.add_all([member(n) for n in (1, 2, 3)])
        session.add(member(4, badge=9, zone=None, seat=None, state="left", note="n1"))
    return kept


def member(n: int, **given: Any) -> Member:
    return Member(**row(n, **given))


def row(n: int, **given: Any) -> dict[str, Any]:
    whole = {"id": n, "team_id": 1, "seat": n, "mail": f"M{n}@x", "code": f"c{n}", "note": f"n{n}"}
    return {**whole, "badge": n, "zone": n, "points": n, **given}


def insert_for(session: Session) -> Any:
    return (postgresql if session.get_bind().dialect.name == "postgresql" else sqlite).insert


#: name of the target -> its arguments, a row that is in conflict by it, one that is not
Target = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
TARGETS: dict[str, Target] = {
    "primary key": ({"index_elements": ["id"]}, row(1, mail="m1@x", points=50), row(9)),
    "primary key by Column": ({"index_elements": [TABLE.c.id]}, row(2, points=50), row(9)),
    "primary key by attribute": ({"index_elements": [Member.id]}, row(2, points=50), row(9)),
    "name of a column": ({"index_elements": ["the_code"]}, row(9, id=1, code="c1", points=50), row(10)),
    "Column with another key": ({"index_elements": [TABLE.c.code_key]}, row(1, points=50), row(9)),
    "two columns": ({"index_elements": ["team_id", "seat"]}, row(2, points=50), row(9)),
    "two columns, the other way round": ({"index_elements": ["seat", "team_id"]}, row(2, points=50), row(9)),
    "two columns with NULL": ({"index_elements": ["team_id", "seat"]}, row(2, points=50), row(9, seat=None)),
    "expression": ({"index_elements": [func.lower(TABLE.c.mail)]}, row(2, mail="m2@X", points=50), row(9)),
    "expression over an attribute": (
        {"index_elements": [func.lower(Member.mail)]},
        row(2, mail="m2@X", points=5),
        row(9),
    ),
    "text": ({"index_elements": [text("lower(mail)")]}, row(2, mail="m2@X", points=50), row(9)),
    "partial": (
        {"index_elements": ["note_text"], "index_where": TABLE.c.state == "active"},
        row(2, points=50),
        row(9, note="n9"),
    ),
    "partial, not of the index": (
        {"index_elements": ["note_text"], "index_where": TABLE.c.state == "active"},
        row(3, points=50, state="active"),
        row(9, note="n2", state="left"),
    ),
    "partial, by text": (
        {"index_elements": ["note_text"], "index_where": text("state = 'active'")},
        row(2, points=50),
        row(9, note="n9"),
    ),
}
POSTGRES: dict[str, Target] = {
    "constraint by name": ({"constraint": "seats"}, row(2, points=50), row(9)),
    "unnamed primary key by name": ({"constraint": "member_pkey"}, row(2, points=50), row(9)),
    "unnamed constraint by name": ({"constraint": "member_the_code_key"}, row(2, points=50), row(9)),
    "nulls that are equal": (
        {"constraint": "badges"},
        row(4, badge=9, zone=None, seat=None, note="z", points=50),
        row(9),
    ),
    "nulls that are equal, inferred": (
        {"index_elements": ["badge", "zone"]},
        row(4, badge=9, zone=None, seat=None, note="z", points=50),
        row(9),
    ),
    "an Index": ({"constraint": next(i for i in TABLE.indexes if i.name == "lower_mail")}, row(2, mail="m2@X"), row(9)),
    "a constraint": (
        {"constraint": next(c for c in TABLE.constraints if c.name == "seats")},
        row(2, points=50),
        row(9),
    ),
}


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    """Return a row by the keys of the columns instead of the attributes."""
    names = {"code": "code_key", "note": "note_text"}
    return {names.get(name, name): value for name, value in values.items()}


#: how rows are given to an INSERT into the class
GIVEN: dict[str, Callable[[Any, Any, list[dict[str, Any]]], tuple[Any, Any]]] = {
    "values": lambda insert, _, rows: (insert(Member).values(rows), None),
    "parameters": lambda insert, _, rows: (insert(Member), rows),
    "of the table": lambda insert, _, rows: (insert(TABLE).values([renamed(r) for r in rows]), None),
    "parameters of the table": lambda insert, _, rows: (insert(TABLE), [renamed(r) for r in rows]),
}


def run(session: Session, target: dict[str, Any], given: Any, rows: list[dict[str, Any]], **clause: Any) -> Any:
    statement, parameters = given(insert_for(session), session, rows)
    excluded = statement.excluded
    changes = {"points": excluded.points + 100, "note_text": excluded.note_text, "team_id": excluded.team_id}
    statement = statement.on_conflict_do_update(**target, **{"set_": changes, **clause})
    return session.execute(statement, parameters)


def stored(session: Session) -> list[Any]:
    columns = [c for c in TABLE.columns if c.name != "label"]
    return [tuple(r) for r in session.execute(select(*columns).order_by(TABLE.c.code_key, TABLE.c.id))]


def compare(teams: Kept, work: Callable[[Session], Any]) -> Any:
    """Do it without a System and with one; return what each gave."""
    plain = sessionmaker(teams.engine)
    with plain() as session:
        expected = work(session), stored(session)
        session.rollback()
    with teams.begin() as session:
        state = SessionState.of(session)
        state.collect_events = True
        before = {r[0]: r for r in stored(session)}
        found = work(session), stored(session)
        after = {r[0]: r for r in found[1]}
        told = {
            (e.type, (e.record or e.old_record or {})["id"])
            for e in state.transaction.events
            if e.record_name == "Member"
        }
    assert found[1] == expected[1]
    changed = {("update", n) for n in before.keys() & after.keys() if before[n] != after[n]}
    assert told == changed | {("create", n) for n in after.keys() - before.keys()}
    teams.verify()
    return expected[0], found[0]


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("target", [*TARGETS.values(), *POSTGRES.values()], ids=[*TARGETS, *POSTGRES])
def test_conflict_targets(teams: Kept, target: Target, given: Any) -> None:
    arguments, there, fresh = target
    if teams.engine.dialect.name == "sqlite" and arguments in [target for target, _, _ in POSTGRES.values()]:
        return  # it names no constraints, and takes no NULLs for equal
    is_list = given in (GIVEN["parameters"], GIVEN["parameters of the table"])
    if teams.engine.dialect.name == "sqlite" and is_list and isinstance(arguments.get("index_where"), ColumnElement):
        given = GIVEN["values"]  # without a System, SQLAlchemy cannot run the other
    compare(teams, lambda session: run(session, arguments, given, [there, fresh]) and None)


def rowcount(session: Session, rows: list[dict[str, Any]], **clause: Any) -> int:
    statement = insert_for(session)(TABLE).values([renamed(r) for r in rows])
    changes = {"points": statement.excluded.points}
    statement = statement.on_conflict_do_update(index_elements=["id"], **{"set_": changes, **clause})
    result: Any = session.execute(statement)
    return int(result.rowcount)


@pytest.mark.parametrize(
    "rows",
    [[row(1)], [row(9)], [row(1), row(9)], [row(1), row(2, points=1), row(9)], [row(8), row(9)]],
    ids=["there", "new", "both", "three", "two new ones"],
)
def test_rowcount(teams: Kept, rows: list[dict[str, Any]]) -> None:
    expected, found = compare(teams, lambda session: rowcount(session, rows))
    assert found == len(rows)
    assert expected in (found, -1)  # psycopg does not tell it of all forms


def test_rowcount_of_a_condition(teams: Kept) -> None:
    rows = [row(1, points=0), row(2, points=90), row(9)]
    expected, found = compare(
        teams, lambda s: rowcount(s, rows, where=TABLE.c.points < 10 * insert_for(s)(TABLE).excluded.points)
    )
    assert found == 2
    assert expected in (found, -1)


def test_rows_of_one_key_follow_each_other(teams: Kept) -> None:
    """Without a System PostgreSQL refuses this; a list of parameters means one statement after the other."""
    with teams.begin() as session:
        insert = insert_for(session)(Member)
        statement = insert.on_conflict_do_update(
            index_elements=[func.lower(Member.mail)], set_={"points": Member.points + insert.excluded.points}
        )
        rows = [row(8, mail="New", points=1), row(9, mail="new", points=2), row(10, mail="M1@X"), row(11, mail="m1@x")]
        session.execute(statement, rows)
    found = dict(teams.stored(Member.id, Member.points))
    assert {n: found[n] for n in (1, 8)} == {1: 1 + 10 + 11, 8: 1 + 2}
    assert not {9, 10, 11} & found.keys()


def test_many_rows_by_an_expression(teams: Kept) -> None:
    with teams.begin() as session:
        insert = insert_for(session)(Member)
        statement = insert.on_conflict_do_update(
            index_elements=[func.lower(Member.mail)], set_={"points": Member.points + insert.excluded.points}
        )
        rows = [row(100 + n, mail=("x" if n % 2 else "X") + str(n // 2), points=1) for n in range(200)]
        assert session.execute(statement, rows).rowcount == 200
    assert sum(points == 2 for _, points in teams.stored(Member.id, Member.points)) >= 100


@pytest.mark.parametrize("by", ["entity", "attributes", "columns", "expression"])
def test_returning(teams: Kept, by: str) -> None:
    def work(session: Session) -> Any:
        statement = insert_for(session)(Member).values([row(1, points=50), row(9)])
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"points": statement.excluded.points})
        if by == "entity":
            found = session.scalars(statement.returning(Member), execution_options={"populate_existing": True}).all()
            return sorted((m.id, m.points, m.note) for m in found)
        if by == "attributes":
            rows = session.execute(statement.returning(Member.points, Member.note, Member.id))
            return sorted((r._mapping[Member.id], r.note, r.points) for r in rows)
        if by == "columns":
            rows = session.execute(statement.returning(TABLE.c.note_text, TABLE.c.id))
            return sorted((r._mapping[TABLE.c.id], r.note_text) for r in rows)
        if by == "expression":
            return sorted(session.scalars(statement.returning(func.upper(Member.mail).label("shout"))).all())
        raise AssertionError(by)

    expected, found = compare(teams, work)
    assert found == expected


@pytest.mark.parametrize("target", ["id", "the_code"])
def test_returned_rows_in_the_order_of_the_parameters(teams: Kept, target: str) -> None:
    rows = [row(2, points=50), row(9), row(4), row(1, points=7), row(8)]

    def work(session: Session) -> Any:
        insert = insert_for(session)(Member)
        statement = insert.on_conflict_do_update(index_elements=[target], set_={"points": insert.excluded.points})
        asked = statement.returning(Member.id, Member.points, sort_by_parameter_order=True)
        return [tuple(found) for found in session.execute(asked, rows)]

    expected, found = compare(teams, work)
    assert found == expected == [(2, 50), (9, 9), (4, 4), (1, 7), (8, 8)]


def test_a_list_that_select_loads(teams: Kept) -> None:
    with teams.begin() as session:
        held = session.get_one(Member, 1)
        insert = insert_for(session)(Member).values([row(1, points=50), row(9)])
        insert = insert.on_conflict_do_update(index_elements=["id"], set_={"points": insert.excluded.points})
        loading = select(Member).from_statement(insert.returning(Member)).execution_options(populate_existing=True)
        assert {m.id for m in session.scalars(loading)} == {1, 9}
        assert held.points == 50
    teams.verify()


@pytest.mark.parametrize(
    "given",
    [
        {"mail": "m1@x", "points": func.abs(-5)},
        {"mail": "m9@x", "points": func.abs(-5)},
        {"mail": "m9@x", "state": None},
        {"mail": "m1@x", "points": literal(3) + 4},
    ],
    ids=["call", "call of a new row", "NULL", "expression"],
)
def test_values_that_only_the_database_knows(teams: Kept, given: dict[str, Any]) -> None:
    def work(session: Session) -> None:
        values = {name: value for name, value in row(9, **given).items() if value is not None}
        if values["mail"] == "m1@x":
            values |= {"id": 9, "code": "c9"}
        statement = insert_for(session)(Member).values(**values)
        excluded = statement.excluded
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[func.lower(Member.mail)], set_={"points": Member.points + excluded.points}
            )
        )

    compare(teams, work)


def test_of_a_select(teams: Kept) -> None:
    def work(session: Session) -> Any:
        names = ["id", "team_id", "seat", "mail", "code_key", "points", "state", "badge"]
        source = select(
            Member.id,
            literal(2),
            Member.seat + 1,
            Member.mail,
            Member.code,
            Member.points * 10,
            literal("x"),
            Member.badge,
        ).where(Member.id < 3)
        fresh = select(
            Member.id + 10,
            literal(2),
            Member.id + 5,
            Member.mail + "!",
            Member.code + "!",
            literal(7),
            literal("x"),
            Member.badge + 50,
        )
        both = source.union_all(fresh).subquery()
        # SQLite takes ON for a part of the SELECT if that has no WHERE
        statement = insert_for(session)(Member).from_select(names, select(*both.c).where(both.c[0] > 0))
        changes = {"team_id": statement.excluded.team_id, "points": statement.excluded.points}
        return session.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changes)).rowcount

    expected, found = compare(teams, work)
    assert found == 6
    assert expected in (found, -1)


@pytest.mark.parametrize("only", ["id", "mail", "code", "seat"])
def test_without_a_target_on_sqlite(teams: Kept, only: str) -> None:
    if teams.engine.dialect.name == "postgresql":
        return  # which takes none
    there = {**row(9), only: row(1)[only]}

    def work(session: Session) -> Any:
        statement = sqlite.insert(Member).values([there, row(10)])
        return session.execute(statement.on_conflict_do_update(set_={"points": 77})).rowcount

    expected, found = compare(teams, work)
    assert found == expected


def test_several_clauses_on_sqlite(teams: Kept) -> None:
    if teams.engine.dialect.name == "postgresql" or sqlalchemy.__version__ < "2.1":
        return  # which take one

    def work(session: Session) -> Any:
        statement = sqlite.insert(Member).values([row(1), row(8, code="c2"), row(9, seat=3), row(10)])
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"points": 70})
        statement = statement.on_conflict_do_update(index_elements=["the_code"], set_={"points": 71})
        return session.execute(statement.on_conflict_do_nothing()).rowcount

    expected, found = compare(teams, work)
    assert found == expected


def test_nothing_is_done(teams: Kept) -> None:
    for target in ({}, {"index_elements": ["id"]}, {"index_elements": [func.lower(Member.mail)]}):

        def work(session: Session, target: Any = target) -> Any:
            statement = insert_for(session)(TABLE).values([renamed(row(1)), renamed(row(9))])
            return session.execute(statement.on_conflict_do_nothing(**target)).rowcount

        expected, found = compare(teams, work)
        assert expected in (found, -1)


@pytest.mark.parametrize(
    ("values", "clause", "message"),
    [
        (row(9, code=func.lower("C1")), {"index_elements": ["the_code"]}, "must give a value for 'the_code'"),
        (row(1), {"index_elements": ["nowhere"]}, "has no column 'nowhere'"),
        (
            row(9, code="c1"),
            {"index_elements": ["the_code"], "set_": {"id": 9}},
            r"SET member\.id would change primary keys",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(teams: Kept, values: Any, clause: Any, message: str) -> None:
    with teams.begin() as session:
        statement = insert_for(session)(Member).values(**values)
        with pytest.raises(iq.UnmanagedWriteError, match=message):
            session.execute(statement.on_conflict_do_update(**{"set_": {"points": 5}, **clause}))
    teams.verify()


@pytest.mark.postgres
def test_a_constraint_that_the_table_does_not_have(teams: Kept) -> None:
    if teams.engine.dialect.name == "sqlite":
        return
    with teams.begin() as session:
        statement = postgresql.insert(Member).values(row(1))
        with pytest.raises(iq.UnmanagedWriteError, match="no unique constraint of this name"):
            session.execute(statement.on_conflict_do_update(constraint="made_by_hand", set_={"points": 5}))


def test_computed_columns_are_refused(teams: Kept) -> None:
    with teams.begin() as session:
        statement = insert_for(session)(Member).values(row(1))
        for name in ("label", Member.label):
            with pytest.raises(iq.ComputedWriteError, match=r"Member\.label"):
                session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={name: "x"}))
