"""A statement that fails after it has written leaves neither its rows nor a part of what follows from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Engine, ForeignKey, MetaData, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Kept


class Base(DeclarativeBase):
    metadata = MetaData()


class Shelf(Base):
    __tablename__ = "shelf"
    __table_args__ = (CheckConstraint("book_count <= 3"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship()
    book_count: Mapped[int] = iq.computed(iq.Count("books"))
    pages: Mapped[int] = iq.computed(iq.Summation("books", "pages"))


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    pages: Mapped[int] = mapped_column(default=1)
    share: Mapped[int] = iq.computed(lambda book: 100 // book.pages)


class Folder(Base):
    __tablename__ = "folder"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("folder.id"))
    own: Mapped[int] = mapped_column(default=1)
    children: Mapped[list[Folder]] = relationship()
    below: Mapped[int] = iq.computed(iq.Summation("children", "size"))
    size: Mapped[int] = iq.computed(lambda folder: folder.own + folder.below)


class Loan(Base):
    __tablename__ = "loan"
    id: Mapped[int] = mapped_column(primary_key=True)
    days: Mapped[int]


class Fee(Base):
    __tablename__ = "fee"
    __computation__ = iq.Transform(Loan, lambda loan: {"amount": 100 // loan["days"]})
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]


@pytest.fixture
def kept(engine: Engine) -> Kept:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        for n in (1, 2, 3):
            session.add(Folder(id=n, parent_id=n - 1 or None))
            session.flush()
        session.add_all([Shelf(id=1, books=[Book(id=1, pages=10), Book(id=2, pages=20)]), Shelf(id=2)])
        session.add(Loan(id=1, days=5))
    return kept


def stored(kept: Kept) -> list[Any]:
    kept.verify()
    with kept.engine.connect() as connection:
        return [connection.execute(select(table).order_by(table.c.id)).all() for table in Base.metadata.sorted_tables]


def upsert(session: Session, rows: list[dict[str, Any]]) -> Any:
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(Book).values(rows)
    return statement.on_conflict_do_update(index_elements=["id"], set_={"pages": statement.excluded.pages})


def full_shelf(session: Session) -> Any:
    return insert(Book).values([{"id": n, "shelf_id": 1} for n in (10, 11, 12)])


FAILING: dict[str, tuple[type[Exception], Callable[[Session], Any]]] = {
    "a function of the row, update": (iq.ComputationError, lambda _: update(Book).values(pages=0)),
    "a function of the row, one row": (iq.ComputationError, lambda _: update(Book).where(Book.id == 2).values(pages=0)),
    "a function of the row, insert": (iq.ComputationError, lambda _: insert(Book).values(id=9, shelf_id=2, pages=0)),
    "a function of the row, upsert": (
        iq.ComputationError,
        lambda s: upsert(s, [{"id": 1, "shelf_id": 1, "pages": 5}, {"id": 8, "shelf_id": 2, "pages": 0}]),
    ),
    "a Transform, update": (iq.ComputationError, lambda _: update(Loan).values(days=0)),
    "a Transform, insert": (iq.ComputationError, lambda _: insert(Loan).values(id=7, days=0)),
    "a ring in a tree": (iq.ComputationError, lambda _: update(Folder).where(Folder.id == 1).values(parent_id=3)),
    "a constraint of the host, insert": (IntegrityError, full_shelf),
}


@pytest.mark.parametrize("what", FAILING)
@pytest.mark.parametrize("collects", [False, True])
def test_a_transaction_goes_on_after_an_error_that_is_caught(kept: Kept, what: str, collects: bool) -> None:
    error, make = FAILING[what]
    before = stored(kept)
    with kept.sessions() as session:
        state = SessionState.of(session)
        state.collect_events = collects
        session.add(Shelf(id=7, books=[Book(id=70, pages=7)]))
        session.flush()
        events = len(state.transaction.events)
        with pytest.raises(error):
            session.execute(make(session))
        assert len(state.transaction.events) == events
        session.execute(delete(Book).where(Book.id == 70))
        session.execute(delete(Shelf).where(Shelf.id == 7))
        session.commit()
    assert stored(kept) == before


@pytest.mark.parametrize("what", FAILING)
def test_what_is_loaded_is_as_it_was(kept: Kept, what: str) -> None:
    error, make = FAILING[what]
    with kept.sessions() as session:
        books = session.scalars(select(Book).order_by(Book.id)).all()
        shelves = session.scalars(select(Shelf).order_by(Shelf.id)).all()
        loan = session.get_one(Loan, 1)
        with pytest.raises(error):
            session.execute(make(session))
        assert [(book.pages, book.share) for book in books] == [(10, 10), (20, 5)]
        assert [(shelf.book_count, shelf.pages) for shelf in shelves] == [(2, 30), (0, 0)]
        assert loan.days == 5
        books[0].pages = 11  # and what comes after counts from there
        session.commit()
        assert [(shelf.book_count, shelf.pages) for shelf in shelves] == [(2, 31), (0, 0)]
    kept.verify()


@pytest.mark.parametrize("what", FAILING)
def test_a_savepoint_of_the_application_saves_what_came_before(kept: Kept, what: str) -> None:
    error, make = FAILING[what]
    with kept.begin() as session:
        session.execute(insert(Book).values(id=5, shelf_id=2, pages=50))
        shelf = session.get_one(Shelf, 2)
        with pytest.raises(error), session.begin_nested():
            session.execute(make(session))
        assert (shelf.book_count, shelf.pages) == (1, 50)
        session.execute(insert(Book).values(id=6, shelf_id=2, pages=10))
        assert (shelf.book_count, shelf.pages) == (2, 60)
    assert [tuple(row) for row in kept.stored(Shelf.id, Shelf.book_count, Shelf.pages)] == [(1, 2, 30), (2, 2, 60)]


@pytest.mark.parametrize("what", FAILING)
def test_the_session_goes_on_after_a_rollback(kept: Kept, what: str) -> None:
    error, make = FAILING[what]
    with kept.sessions() as session:
        with pytest.raises(error):
            session.execute(make(session))
        session.rollback()
        session.execute(update(Book).where(Book.id == 1).values(pages=4))
        session.commit()
    assert kept.stored(Shelf.id, Shelf.pages)[0] == (1, 24)


def test_a_list_of_rows_of_which_one_fails(kept: Kept) -> None:
    before = stored(kept)
    with kept.sessions() as session:
        with pytest.raises(IntegrityError):
            session.execute(update(Book), [{"id": 1, "pages": 7}, {"id": 2, "shelf_id": None, "pages": 7}])
        session.commit()
    assert stored(kept) == before


def test_an_error_before_the_write_leaves_the_transaction_alone(kept: Kept) -> None:
    with kept.begin() as session:
        session.execute(insert(Book).values(id=5, shelf_id=2, pages=50))
        with pytest.raises(iq.ComputedWriteError):
            session.execute(update(Shelf).values(book_count=5))
        with pytest.raises(iq.UnmanagedWriteError):
            session.execute(update(Book).values(id=5))
    assert kept.stored(Shelf.id, Shelf.book_count) == [(1, 2), (2, 1)]


def test_one_row_that_the_database_refuses_is_no_part_of_a_write(kept: Kept) -> None:
    if kept.engine.dialect.name == "postgresql":
        return  # there an error of the database ends the transaction
    with kept.begin() as session:
        with pytest.raises(IntegrityError):
            session.execute(insert(Book).values(id=1, shelf_id=2))
        session.execute(delete(Book).where(Book.id == 1))
    assert kept.stored(Shelf.id, Shelf.book_count) == [(1, 1), (2, 0)]
