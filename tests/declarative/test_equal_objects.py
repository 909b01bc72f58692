"""Objects of classes that define equality: those that are equal are different rows all the same."""

from __future__ import annotations

from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column, relationship

from interaqt_sa import Count, computed
from tests.declarative.kept import Keep


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    """Shelves of the same name are equal."""

    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list[Book]] = relationship(cascade="all, delete-orphan")
    book_count: Mapped[int] = computed(Count("books"))
    label: Mapped[str] = computed(lambda shelf: f"{shelf.name}: {shelf.book_count}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shelf) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Book(Base):
    """All books are equal."""

    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Book)

    def __hash__(self) -> int:
        return 1


class DataBase(MappedAsDataclass, DeclarativeBase):
    pass


class Point(DataBase):
    """Cannot be hashed, like every dataclass with equality."""

    __tablename__ = "point"
    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    x: Mapped[int] = mapped_column(default=2)
    double: Mapped[int] = computed(lambda point: point.x * 2 + (point["id"] * 0), init=False)


def test_equal_objects_have_values_of_their_own(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Shelf(name="a", books=[Book(), Book()]), Shelf(name="a"), Shelf(name="a")])
    assert sorted(kept.stored(Shelf.book_count, Shelf.label)) == [(0, "a: 0"), (0, "a: 0"), (2, "a: 2")]


def test_a_member_comes_for_an_equal_one(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Shelf(name="a", books=[Book()]), Book()])
    with kept.begin() as session:
        shelf = session.scalars(select(Shelf)).one()
        shelf.books = [session.scalars(select(Book).where(Book.shelf_id.is_(None))).one()]
    assert kept.stored(Shelf.book_count, Shelf.label) == [(1, "a: 1")]
    assert len(kept.stored(Book.id)) == 1


def test_objects_that_cannot_be_hashed(keep: Keep) -> None:
    kept = keep(DataBase)
    with kept.begin() as session:
        session.add_all([Point(), Point(x=2)])
        session.flush()
        for point in session.scalars(select(Point)):
            point.x = 7
    assert kept.stored(Point.id, Point.double) == [(1, 14), (2, 14)]
