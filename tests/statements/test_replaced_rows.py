"""SQLite: rows that a write deletes to make room are rows that are deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, MetaData, UniqueConstraint, delete, event, func, insert, select, text, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Kept
from tests.support.engines import EngineFactory


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship()
    prizes: Mapped[list[Prize]] = relationship()
    prize_count: Mapped[int] = iq.computed(iq.Count("prizes"))
    book_count: Mapped[int] = iq.computed(iq.Count("books"))
    pages: Mapped[int] = iq.computed(iq.Summation("books", "page_count"))


class Book(Base):
    """A book replaces another one of the same code, or of the same place on the same shelf."""

    __tablename__ = "book"
    __table_args__ = (UniqueConstraint("shelf_id", "place", sqlite_on_conflict="REPLACE"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    place: Mapped[int]
    code: Mapped[str] = mapped_column(unique=True, sqlite_on_conflict_unique="REPLACE")
    title: Mapped[str] = mapped_column(unique=True)
    leaves: Mapped[list[Page]] = relationship(passive_deletes=True)
    page_count: Mapped[int] = iq.computed(iq.Count("leaves"))
    title_length: Mapped[int] = iq.computed(lambda book: len(book.title))


class Page(Base):
    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id", ondelete="CASCADE"))


class Author(Base):
    """Nothing is computed from it, but its prizes go with it."""

    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)


class Prize(Base):
    __tablename__ = "prize"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"))
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))


@pytest.fixture
def library(engine_for: EngineFactory) -> Kept:
    engine = engine_for("pysqlite")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.add_all([Shelf(id=1), Shelf(id=2), Author(id=1, name="ann"), Author(id=2, name="bob")])
        session.flush()
        session.add_all([book(n, leaves=[Page(), Page()]) for n in range(1, 7)])
        session.add_all([Prize(author_id=1, shelf_id=1), Prize(author_id=2, shelf_id=1)])
    return kept


def book(n: int, **given: Any) -> Book:
    return Book(**{"id": n, "shelf_id": 1, "place": n, "code": f"c{n}", "title": f"t{n}", **given})


def row(n: int, **given: Any) -> dict[str, Any]:
    return {"id": n, "shelf_id": 2, "place": 90 + n, "code": f"new{n}", "title": f"new{n}", **given}


OR_REPLACE = insert(Book).prefix_with("OR REPLACE")

#: what is run, and how many of the six books are left, with those that are new
REPLACING: dict[str, tuple[Callable[[Session], Any], int]] = {
    "by primary key": (lambda s: s.execute(OR_REPLACE.values(row(1))), 6),
    "by a unique column": (lambda s: s.execute(OR_REPLACE.values(row(9, title="t2"))), 6),
    "by two columns": (lambda s: s.execute(OR_REPLACE.values(row(9, shelf_id=1, place=3))), 6),
    "three at once": (lambda s: s.execute(OR_REPLACE.values(row(1, title="t2", code="c3"))), 4),
    "several rows": (lambda s: s.execute(OR_REPLACE, [row(1), row(9, title="t2"), row(10)]), 7),
    "several values": (lambda s: s.execute(OR_REPLACE.values([row(1), row(9, title="t2")])), 6),
    "each other": (lambda s: s.execute(OR_REPLACE, [row(9, title="x"), row(10, title="x"), row(10, title="y")]), 7),
    "of the table": (
        lambda s: s.execute(insert(Book.__table__).prefix_with("or  replace", dialect="sqlite"), [row(1)]),
        6,
    ),
    "by the row of another dialect": (
        lambda s: s.execute(insert(Book).prefix_with("x", dialect="mysql").values(row(9))),
        7,
    ),
    "returning": (lambda s: s.scalars(OR_REPLACE.returning(Book), [row(1), row(2)]).all(), 6),
    "declared": (lambda s: s.execute(insert(Book).values(row(9, code="c1"))), 6),
    "declared for two columns": (lambda s: s.execute(insert(Book), [row(9, shelf_id=1, place=1), row(10)]), 7),
    "ignored": (lambda s: s.execute(insert(Book).prefix_with("OR IGNORE").values(row(9, code="c1"))), 6),
    "update or replace": (
        lambda s: s.execute(update(Book).prefix_with("OR REPLACE").where(Book.id == 2).values(title="t3")),
        5,
    ),
    "update of several": (
        lambda s: s.execute(update(Book).prefix_with("OR REPLACE").where(Book.id > 3).values(title="t1")),
        3,
    ),
    "update or ignore": (
        lambda s: s.execute(update(Book).prefix_with("OR IGNORE").where(Book.id > 3).values(title="t1")),
        6,
    ),
    "update as declared": (lambda s: s.execute(update(Book).where(Book.id == 2).values(code="c3")), 5),
    "update of the rest": (lambda s: s.execute(update(Book).where(Book.id == 2).values(title=Book.title + "!")), 6),
    "objects": (lambda s: s.add_all([book(9, code="c1"), book(10, place=2), book(11)]), 7),
    "changed object": (lambda s: setattr(s.get(Book, 2), "code", "c3"), 5),
    "upsert": (
        lambda s: s.execute(
            sqlite.insert(Book).on_conflict_do_update(index_elements=["title"], set_={"place": 77}),
            [row(9, title="t1"), row(10, code="c5")],
        ),
        6,
    ),
}


@pytest.mark.parametrize(("work", "left"), REPLACING.values(), ids=REPLACING)
def test_they_do_not_contribute_any_more(library: Kept, work: Any, left: int) -> None:
    with library.begin() as session:
        work(session)
    library.verify()
    with library.begin() as session:
        assert session.scalar(select(func.count()).select_from(Book)) == left


@pytest.mark.parametrize("name", [name for name in REPLACING if "object" not in name])
def test_they_are_told(library: Kept, name: str) -> None:
    with library.begin() as session:
        state = SessionState.of(session)
        state.collect_events = True
        before = {r.id: tuple(r) for r in session.execute(select(Book.__table__))}
        REPLACING[name][0](session)
        after = {r.id: tuple(r) for r in session.execute(select(Book.__table__))}
        told = {
            (e.type, (e.record or e.old_record or {})["id"])
            for e in state.transaction.events
            if e.record_name == "Book"
        }
    expected = {("create", n) for n in after.keys() - before.keys()} | {
        ("delete", n) for n in before.keys() - after.keys()
    }
    assert told == expected | {("update", n) for n in before.keys() & after.keys() if before[n] != after[n]}


class Other(DeclarativeBase):
    pass


class Room(Other):
    __tablename__ = "room"
    id: Mapped[int] = mapped_column(primary_key=True, sqlite_on_conflict_primary_key="REPLACE")
    name: Mapped[str]
    chairs: Mapped[list[Chair]] = relationship(passive_deletes=True)
    chair_count: Mapped[int] = iq.computed(iq.Count("chairs"))


class Chair(Other):
    __tablename__ = "chair"
    id: Mapped[int] = mapped_column(primary_key=True)
    room_id: Mapped[int] = mapped_column(ForeignKey("room.id"))


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION"])
@pytest.mark.parametrize("by", ["object", "statement"])
def test_a_host_that_is_replaced_by_itself(engine_for: EngineFactory, action: str, by: str) -> None:
    """Its members have gone with it, or have stayed; in both cases they are counted."""
    engine = engine_for("pysqlite")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    metadata = MetaData()
    for table in Other.metadata.tables.values():
        table.to_metadata(metadata)
    (key,) = metadata.tables["chair"].foreign_keys
    assert key.constraint is not None
    key.constraint.ondelete = key.ondelete = action
    if action == "NO ACTION":
        key.constraint.deferrable, key.constraint.initially = True, "DEFERRED"
    metadata.create_all(engine)
    kept = Kept(engine, Other)
    with kept.begin() as session:
        session.add_all([Room(id=1, name="a", chairs=[Chair(), Chair()]), Room(id=2, name="b", chairs=[Chair()])])
    with kept.begin() as session:
        if by == "object":
            session.add(Room(id=1, name="c"))
        else:
            session.execute(insert(Room).values(id=1, name="c"))
    kept.verify()
    with engine.connect() as connection:
        counts = connection.execute(text("SELECT chair_count FROM room ORDER BY id")).scalars().all()
    assert counts == ([0, 1] if action == "CASCADE" else [2, 1])


def test_what_goes_with_rows_of_no_interest(library: Kept) -> None:
    with library.begin() as session:
        session.execute(insert(Author).prefix_with("OR REPLACE").values(id=3, name="ann"))
    library.verify()
    with library.begin() as session:
        assert session.scalars(select(Prize.author_id)).all() == [2]
        with pytest.raises(iq.UnmanagedWriteError, match="'author'"):
            session.connection().execute(insert(Author).prefix_with("OR REPLACE").values(id=4, name="bob"))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            OR_REPLACE.from_select(
                ["id", "shelf_id", "place", "code", "title"], select(Book.id, 2, Book.place, Book.code, Book.title)
            ),
            "pass them as parameters",
        ),
        (OR_REPLACE.values(row(1, title=func.lower("T2"))), "each row must give a value for 'title'"),
        (update(Book).prefix_with("OR REPLACE").values(title=Book.code), "'title'"),
        (update(Book).where(Book.id == 1).values(place=2), "also give a value for shelf_id"),
        (insert(Book).prefix_with("OR FAIL").values(row(9)), "OR FAIL on 'book'"),
    ],
)
def test_what_does_not_say_which_rows_is_refused(library: Kept, statement: Any, message: str) -> None:
    with library.begin() as session:
        with pytest.raises(iq.UnmanagedWriteError, match=message):
            session.execute(statement)
        session.execute(delete(Page).where(Page.book_id == 1))
    library.verify()
    with library.engine.connect() as connection:
        assert (
            connection.scalar(text("SELECT count(*) FROM book WHERE title = 't1' AND shelf_id = 1 AND place = 1")) == 1
        )


def test_derived_rows_of_replaced_sources(engine_for: EngineFactory) -> None:
    """The row of a Transform goes with the source row that it was derived from, and follows one with the same key."""

    class Base(DeclarativeBase):
        pass

    class Source(Base):
        __tablename__ = "source"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str] = mapped_column(unique=True)
        size: Mapped[int]

    class Derived(Base):
        __tablename__ = "derived"
        __computation__ = iq.Transform(Source, lambda source: {"code": source.code, "size": source.size})
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[str]
        size: Mapped[int]

    kept = Kept(engine_for("pysqlite"), Base)
    with kept.begin() as session:
        session.add_all([Source(id=1, code="a", size=1), Source(id=2, code="b", size=2)])
    replace = insert(Source).prefix_with("OR REPLACE")
    steps: list[tuple[Any, Any, list[tuple[str, int]]]] = [
        (replace, [{"id": 1, "code": "a", "size": 10}], [("a", 10), ("b", 2)]),
        (replace, [{"id": 7, "code": "b", "size": 20}], [("a", 10), ("b", 20)]),
        (replace, [{"id": 1, "code": "b", "size": 30}], [("b", 30)]),
        (insert(Source.__table__).prefix_with("OR REPLACE").values(id=5, code="b", size=40), None, [("b", 40)]),  # type: ignore[arg-type]
        (update(Source).prefix_with("OR REPLACE").where(Source.id == 5).values(code="c"), None, [("c", 40)]),
    ]
    for statement, rows, expected in steps:
        kept.run(statement, rows)
        assert sorted((code, size) for _, code, size in kept.stored(Derived.id, Derived.code, Derived.size)) == expected
