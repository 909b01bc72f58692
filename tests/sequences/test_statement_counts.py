"""The statements that numbers cost: one for each sequence, and a read where a scope is known only at the INSERT."""

from __future__ import annotations

import pytest
from sqlalchemy import ForeignKey, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Kept
from tests.support.engines import EngineFactory
from tests.support.statements import count_statements


class Base(DeclarativeBase):
    pass


class Folder(Base):
    __tablename__ = "folder"
    id: Mapped[int] = mapped_column(primary_key=True)
    sheets: Mapped[list[Sheet]] = relationship(back_populates="folder")


class Sheet(Base):
    __tablename__ = "sheet"
    id: Mapped[int] = mapped_column(primary_key=True)
    folder_id: Mapped[int] = mapped_column(ForeignKey("folder.id"))
    folder: Mapped[Folder] = relationship(back_populates="sheets")
    page: Mapped[int] = iq.computed(iq.ScopedSequence("page", "folder"))
    note: Mapped[str | None]


@pytest.fixture
def folders(engine_for: EngineFactory, postgres_url: str) -> Kept:
    """Return a database with two folders."""
    kept = Kept(engine_for("psycopg"), Base)
    with kept.begin() as session:
        session.add_all([Folder(), Folder()])
    return kept


def test_objects_of_known_scopes(folders: Kept) -> None:
    with folders.begin() as session:
        folder = session.get_one(Folder, 1)
        for count in (1, 100):
            with count_statements(folders.engine) as statements:
                session.add_all([Sheet(folder=folder) for _ in range(count)])
                session.flush()
            assert len(statements) == 2  # the counter, the rows


def test_objects_of_new_parents(folders: Kept) -> None:
    with folders.begin() as session, count_statements(folders.engine) as statements:
        session.add_all([Folder(sheets=[Sheet() for _ in range(10)]) for _ in range(10)])
        session.flush()
    assert len(statements) == 4  # the parents, the counters, the rows, their numbers


def test_statements(folders: Kept) -> None:
    with folders.begin() as session, count_statements(folders.engine) as statements:
        session.execute(insert(Sheet), [{"folder_id": 1 + n % 2} for n in range(100)])
    assert [one.split()[0] for one in statements] == ["INSERT", "INSERT"]


def test_changes_and_deletions_of_other_columns(folders: Kept) -> None:
    with folders.begin() as session:
        session.add_all([Sheet(folder_id=1), Sheet(folder_id=1)])
    with folders.begin() as session:
        one, two = session.get_one(Sheet, 1), session.get_one(Sheet, 2)
        with count_statements(folders.engine) as statements:
            one.note = "x"
            session.flush()
        assert len(statements) == 1
        with count_statements(folders.engine) as statements:
            session.delete(two)
            session.flush()
        assert len(statements) == 2  # the lock, the row
