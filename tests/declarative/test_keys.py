"""Keys of every type, on every driver."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Enum, ForeignKey, ForeignKeyConstraint, delete, insert, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import AsyncSystem, Count, Every, Summation, computed
from tests.declarative import keyed
from tests.declarative.kept import Keep, Kept
from tests.declarative.keyed import KEYED, Colour, Keyed


@pytest.fixture(params=KEYED)
def model(request: pytest.FixtureRequest) -> Keyed:
    return KEYED[request.param]()


def after_objects(model: Keyed) -> dict[Any, tuple[Any, ...]]:
    first, second, _ = model.keys
    return {first: (0, 0, False), second: (2, 50, False)}


def after_bulk(model: Keyed) -> dict[Any, tuple[Any, ...]]:
    first, second, third = model.keys
    return {first: (1, 5, False), second: (0, 0, False), third: (1, 60, True)}


def test_keys_of_every_type(keep: Keep, model: Keyed) -> None:
    kept = keep(model.base)
    with kept.begin() as session:
        hosts = keyed.write_objects(model, session)
        assert {host.id: (host.member_count, host.total, host.large) for host in hosts} == after_objects(model)
    kept.verify()
    with kept.begin() as session:
        assert keyed.values(model, session) == after_objects(model)
        keyed.write_bulk(model, session)
    kept.verify()
    with kept.begin() as session:
        assert keyed.values(model, session) == after_bulk(model)


def test_repair_with_keys_of_every_type(keep: Keep, model: Keyed) -> None:
    kept = keep(model.base)
    with kept.begin() as session:
        keyed.write_objects(model, session)
    with kept.engine.begin() as connection:
        connection.execute(update(model.host).values(total=-1))
    assert {d.id: (d.stored, d.expected) for d in kept.system.repair().differences} == {
        key: (-1, total) for key, (_, total, _) in after_objects(model).items()
    }
    kept.verify()


async def test_keys_of_every_type_in_asynchronous_sessions(async_engine: AsyncEngine, model: Keyed) -> None:
    async with async_engine.begin() as connection:
        await connection.run_sync(model.base.metadata.create_all)
    sessions = async_sessionmaker(async_engine)
    system = AsyncSystem(sessions, base=model.base)
    async with sessions.begin() as session:
        await session.run_sync(lambda sync: keyed.write_objects(model, sync))
        assert await session.run_sync(lambda sync: keyed.values(model, sync)) == after_objects(model)
    async with sessions.begin() as session:
        await session.run_sync(lambda sync: keyed.write_bulk(model, sync))
        assert await session.run_sync(lambda sync: keyed.values(model, sync)) == after_bulk(model)
    report = await system.check()
    assert report.ok, report.differences


# -- composite keys ---------------------------------------------------------------------------------------------------


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"

    room: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    colour: Mapped[Colour] = mapped_column(Enum(Colour), primary_key=True)
    books: Mapped[list[Book]] = relationship(back_populates="shelf")
    book_count: Mapped[int] = computed(Count("books"))
    pages: Mapped[int] = computed(Summation("books", "pages"))
    all_long: Mapped[bool] = computed(Every("books", lambda book: book.pages > 99, attribute_query=["pages"]))


class Book(Base):
    __tablename__ = "book"
    __table_args__ = (ForeignKeyConstraint(["room", "colour"], ["shelf.room", "shelf.colour"]),)

    author: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(primary_key=True)
    pages: Mapped[int] = mapped_column(default=100)
    room: Mapped[int | None]
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour))
    shelf: Mapped[Shelf | None] = relationship(back_populates="books")
    copies: Mapped[list[Copy]] = relationship(back_populates="book", cascade="all, delete-orphan")
    copy_count: Mapped[int] = computed(Count("copies"))


class Copy(Base):
    __tablename__ = "copy"
    __table_args__ = (ForeignKeyConstraint(["author", "title"], ["book.author", "book.title"]),)

    author: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    book: Mapped[Book] = relationship(back_populates="copies")


class Reader(Base):
    """Reads shelves along a composite path."""

    __tablename__ = "reader"

    id: Mapped[int] = mapped_column(primary_key=True)
    loans: Mapped[list[Loan]] = relationship(back_populates="reader")
    pages: Mapped[int] = computed(Summation("loans", "book.pages"))


class Loan(Base):
    __tablename__ = "loan"
    __table_args__ = (ForeignKeyConstraint(["author", "title"], ["book.author", "book.title"]),)

    id: Mapped[int] = mapped_column(primary_key=True)
    reader_id: Mapped[int] = mapped_column(ForeignKey("reader.id"))
    author: Mapped[str]
    title: Mapped[str]
    reader: Mapped[Reader] = relationship(back_populates="loans")
    book: Mapped[Book] = relationship()


SHELVES: tuple[Any, ...] = (Shelf.room, Shelf.colour, Shelf.book_count, Shelf.pages, Shelf.all_long)
BOOKS: tuple[Any, ...] = (Book.author, Book.copy_count)


@pytest.fixture
def library(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        red, blue = Shelf(room=1, colour=Colour.RED), Shelf(room=2, colour=Colour.BLUE)
        copies = [Copy(number=1), Copy(number=2)]
        red.books = [Book(author="Lem", title="Eden", pages=200, copies=copies), Book(author="Poe", title="Raven")]
        session.add_all([red, blue])
    return kept


def test_composite_keys(library: Kept) -> None:
    assert library.stored(*SHELVES) == [(1, Colour.RED, 2, 300, True), (2, Colour.BLUE, 0, 0, True)]
    assert library.stored(*BOOKS) == [("Lem", 2), ("Poe", 0)]
    with library.begin() as session:
        poe = session.get_one(Book, ("Poe", "Raven"))
        poe.shelf = session.get_one(Shelf, (2, Colour.BLUE))
        poe.pages = 20
        lem = session.get_one(Book, ("Lem", "Eden"))
        lem.copies.pop()
    assert library.stored(*SHELVES) == [(1, Colour.RED, 1, 200, True), (2, Colour.BLUE, 1, 20, False)]
    assert library.stored(*BOOKS) == [("Lem", 1), ("Poe", 0)]
    with library.begin() as session:
        session.delete(session.get_one(Book, ("Lem", "Eden")))
    assert library.stored(*SHELVES) == [(1, Colour.RED, 0, 0, True), (2, Colour.BLUE, 1, 20, False)]


def test_bulk_statements_with_composite_keys(library: Kept) -> None:
    library.run(
        insert(Book),
        [{"author": "Eco", "title": str(n), "pages": n, "room": 2, "colour": Colour.BLUE} for n in (150, 250)],
    )
    library.run(insert(Copy), [{"author": "Eco", "title": "150", "number": n} for n in range(3)])
    assert library.stored(*SHELVES) == [(1, Colour.RED, 2, 300, True), (2, Colour.BLUE, 2, 400, True)]
    library.run(update(Book).where(Book.pages < 200).values(room=1, colour=Colour.RED, pages=Book.pages - 60))
    assert library.stored(*SHELVES) == [(1, Colour.RED, 3, 330, False), (2, Colour.BLUE, 1, 250, True)]
    library.run(delete(Copy))
    library.run(delete(Book).where(Book.room == 1))
    assert library.stored(*SHELVES) == [(1, Colour.RED, 0, 0, True), (2, Colour.BLUE, 1, 250, True)]


def test_paths_over_composite_keys(library: Kept) -> None:
    with library.begin() as session:
        lem, poe = session.get_one(Book, ("Lem", "Eden")), session.get_one(Book, ("Poe", "Raven"))
        session.add(Reader(id=1, loans=[Loan(book=lem), Loan(book=poe), Loan(book=poe)]))
    assert library.stored(Reader.id, Reader.pages) == [(1, 400)]
    library.run(update(Book).where(Book.author == "Poe").values(pages=7))
    assert library.stored(Reader.id, Reader.pages) == [(1, 214)]


def test_a_half_known_composite_reference_counts_nowhere(library: Kept) -> None:
    with library.begin() as session:
        session.get_one(Book, ("Lem", "Eden")).colour = None
    assert library.stored(*SHELVES) == [(1, Colour.RED, 1, 100, True), (2, Colour.BLUE, 0, 0, True)]
