"""What a flush deletes although nobody told the session to: orphans, what they cascade to, what the database does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, Table, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.declarative.kept import Kept


class Base(DeclarativeBase):
    metadata = MetaData()


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    pages: Mapped[list[Page]] = relationship()
    words: Mapped[list[Word]] = relationship()
    covers: Mapped[list[Cover]] = relationship()
    notes: Mapped[list[Note]] = relationship()
    page_count: Mapped[int] = iq.computed(iq.Count("pages"))
    word_count: Mapped[int] = iq.computed(iq.Count("words"))
    cover_count: Mapped[int] = iq.computed(iq.Count("covers"))
    loose_notes: Mapped[int] = iq.computed(iq.Count("notes", where={"is_loose": True}))


linked = Table(
    "linked",
    Base.metadata,
    Column("owner_id", Integer, ForeignKey("owner.id"), primary_key=True),
    Column("book_id", Integer, ForeignKey("book.id"), primary_key=True),
)


class Owner(Base):
    """Nothing is computed from it."""

    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    books: Mapped[list[Book]] = relationship(cascade="all, delete-orphan", back_populates="owner")
    links: Mapped[list[Book]] = relationship(secondary=linked, cascade="all, delete-orphan", single_parent=True)


class Reader(Base):
    """Nothing is computed from it either."""

    __tablename__ = "reader"
    id: Mapped[int] = mapped_column(primary_key=True)
    only_id: Mapped[int | None] = mapped_column(ForeignKey("book.id"))
    kept_id: Mapped[int | None] = mapped_column(ForeignKey("book.id"))
    only: Mapped[Book | None] = relationship(foreign_keys=only_id, cascade="all, delete-orphan", single_parent=True)
    kept: Mapped[Book | None] = relationship(foreign_keys=kept_id, cascade="all")


class Book(Base):
    """Nor from this; its pages go with it by the session, its cover by the database."""

    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"))
    owner: Mapped[Owner | None] = relationship(back_populates="books")
    pages: Mapped[list[Page]] = relationship(cascade="all, delete-orphan", passive_deletes=True)


class Page(Base):
    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id", ondelete="CASCADE"))
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))


class Word(Base):
    __tablename__ = "word"
    id: Mapped[int] = mapped_column(primary_key=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("page.id", ondelete="CASCADE"))
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))


class Cover(Base):
    __tablename__ = "cover"
    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id", ondelete="CASCADE"))
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))


class Note(Base):
    """Stays when its page goes."""

    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    page_id: Mapped[int | None] = mapped_column(ForeignKey("page.id", ondelete="SET NULL"))
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    is_loose: Mapped[bool] = iq.computed(lambda note: note.page_id is None)


def let_go_of_one(session: Session, owner: Owner, reader: Reader) -> None:
    reader.only = None


def replace_one(session: Session, owner: Owner, reader: Reader) -> None:
    reader.only = Book(id=20, pages=[Page(id=20, shelf_id=1)])


def let_go_of_one_and_delete(session: Session, owner: Owner, reader: Reader) -> None:
    reader.only = None
    session.delete(reader)


def refer_when_deleted(session: Session, owner: Owner, reader: Reader) -> None:
    session.delete(reader)
    reader.only = session.get(Book, 5)


def refer_to_kept_when_deleted(session: Session, owner: Owner, reader: Reader) -> None:
    session.delete(reader)
    reader.kept = session.get(Book, 5)


def remove_book(session: Session, owner: Owner, reader: Reader) -> None:
    del owner.books[0]


def book_lets_go(session: Session, owner: Owner, reader: Reader) -> None:
    session.get_one(Book, 2).owner = None


def remove_book_and_delete(session: Session, owner: Owner, reader: Reader) -> None:
    del owner.books[0]
    session.delete(owner)


def remove_link(session: Session, owner: Owner, reader: Reader) -> None:
    owner.links.clear()


def replace_links(session: Session, owner: Owner, reader: Reader) -> None:
    owner.links = [Book(id=20, pages=[Page(id=20, shelf_id=1)])]


def move_to_another(session: Session, owner: Owner, reader: Reader) -> None:
    other, other_reader = session.get_one(Owner, 2), session.get_one(Reader, 2)
    with session.no_autoflush:
        other.books.append(owner.books.pop())
        other.links.append(owner.links.pop())
        only, reader.only = reader.only, None
        other_reader.only = only


def everything(session: Session, owner: Owner, reader: Reader) -> None:
    session.delete(owner)
    session.delete(reader)


Work = Callable[[Session, Owner, Reader], None]
WORK: list[Work] = [
    let_go_of_one,
    replace_one,
    let_go_of_one_and_delete,
    refer_when_deleted,
    refer_to_kept_when_deleted,
    remove_book,
    book_lets_go,
    remove_book_and_delete,
    remove_link,
    replace_links,
    move_to_another,
    everything,
]


@pytest.fixture
def kept(engine: Engine) -> Kept:
    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.execute(insert(Shelf), [{"id": 1}])
        session.execute(insert(Owner), [{"id": 1}, {"id": 2}])
        books = [{"id": n, "owner_id": 1 if n == 2 else None} for n in range(1, 6)]
        session.execute(insert(Book), books)
        session.execute(insert(linked), [{"owner_id": 1, "book_id": 3}])
        session.add_all([Reader(id=1, only_id=1, kept_id=4), Reader(id=2)])
        session.execute(insert(Page), [{"id": n, "book_id": n, "shelf_id": 1} for n in range(1, 6)])
        session.execute(insert(Word), [{"id": n, "page_id": n, "shelf_id": 1} for n in range(1, 6)])
        session.execute(insert(Note), [{"id": n, "page_id": n, "shelf_id": 1} for n in range(1, 6)])
        session.execute(insert(Cover), [{"id": n, "book_id": n, "shelf_id": 1} for n in range(1, 6)])
    return kept


def ids(session: Session, name: str) -> set[tuple[str, int]]:
    return {(name, n) for n in session.scalars(select(Base.metadata.tables[name.lower()].c.id))}


@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "not loaded"])
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_what_went_is_counted_no_more(kept: Kept, work: Work, loaded: bool) -> None:
    with kept.begin() as session:
        shelf, owner, reader = session.get_one(Shelf, 1), session.get_one(Owner, 1), session.get_one(Reader, 1)
        assert reader.only is not None
        if loaded:
            pages = [page for book in session.scalars(select(Book)) for page in book.pages]
            assert all([pages, owner.books, owner.links, reader.kept])
        work(session, owner, reader)
        session.flush()
        assert ids(session, "Book") != {("Book", n) for n in range(1, 6)} or work is move_to_another
        fresh = (shelf.page_count, shelf.word_count, shelf.cover_count)
        assert fresh == tuple(len(ids(session, name)) for name in ("Page", "Word", "Cover"))
        loose = session.scalars(select(Note.id).where(Note.page_id.is_(None))).all()
        assert shelf.loose_notes == len(loose)
        assert loose == session.scalars(select(Note.id).where(Note.is_loose)).all()
    kept.verify()


@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_events_tell_what_went(kept: Kept, work: Work) -> None:
    names = ("Owner", "Reader", "Book", "Page", "Word", "Cover")
    with kept.begin() as session:
        before = {row for name in names for row in ids(session, name)}
        SessionState.of(session).collect_events = True
        owner, reader = session.get_one(Owner, 1), session.get_one(Reader, 1)
        assert reader.only is not None
        work(session, owner, reader)
        session.flush()
        told = [
            (event.record_name, event.record["id"])
            for event in SessionState.of(session).transaction.events
            if event.type == "delete" and event.record_name in names
        ]
        after = {row for name in names for row in ids(session, name)}
    assert sorted(told) == sorted(before - after)
