"""A write by Core while models are being imported works as without a system, and is followed or heard."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, MetaData, Table, insert, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard


class Half:
    """Models of which the last class is mapped only by :meth:`rest`, as if its module were imported later."""

    def __init__(self, engine: Engine, **options: Any) -> None:
        class Base(DeclarativeBase):
            pass

        class Shelf(Base):
            __tablename__ = "shelf"
            id: Mapped[int] = mapped_column(primary_key=True)
            books: Mapped[list[Any]] = relationship("Book")
            size: Mapped[int] = iq.computed(iq.Count("books"))

        key: Column[int] = Column("shelf_id", Integer, ForeignKey("shelf.id"))
        Table("book", Base.metadata, Column("id", Integer, primary_key=True), key)
        Table("plain", Base.metadata, Column("id", Integer, primary_key=True))
        self.Base, self.Shelf = Base, Shelf
        self.tables = Base.metadata.tables
        self.engine = engine
        self.sessions = sessionmaker(engine)
        self.system = iq.System(self.sessions, base=Base, **options)
        Base.metadata.create_all(engine)

    def rest(self) -> Any:
        class Book(self.Base):  # type: ignore[name-defined, misc]
            __table__ = self.tables["book"]

        self.Book = Book  # or it would be collected
        return Book


def test_they_run_and_are_heard_once_the_models_are_there(engine: Engine) -> None:
    half = Half(engine)
    with engine.begin() as connection:
        connection.execute(insert(half.tables["shelf"]).values(id=1, size=0))
        connection.execute(insert(half.tables["book"]).values(id=1, shelf_id=1))
        connection.execute(insert(half.tables["plain"]).values(id=1))
        connection.execute(text("UPDATE shelf SET size = 3"))
    assert not half.Shelf.__mapper__.configured
    half.rest()
    with pytest.warns(iq.UnattachedWriteWarning) as told, half.sessions.begin() as session:
        session.add(half.Shelf(id=2))
    messages = [str(warning.message) for warning in told]
    assert len(messages) == 2
    assert all("still to be mapped" in message and "system.repair()" in message for message in messages)
    assert "'shelf'" in messages[0]
    assert "'book'" in messages[1]
    assert {warning.filename for warning in told} == {__file__}
    assert [(d.stored, d.expected) for d in half.system.repair().differences] == [(3, 1)]


def test_those_of_attached_sessions_too(engine: Engine) -> None:
    half = Half(engine)
    with half.sessions.begin() as session:
        session.execute(insert(half.tables["plain"]), [{"id": 1}])
        session.execute(insert(half.tables["shelf"]), [{"id": 1, "size": 0}])
        session.execute(insert(half.tables["book"]), [{"id": 1, "shelf_id": 1}])
        session.connection().execute(half.tables["book"].delete().where(half.tables["book"].c.id == 9))
    book = half.rest()
    with pytest.warns(iq.UnattachedWriteWarning, match="still to be mapped"):
        half.system.repair()
    with half.sessions.begin() as session:
        session.add(book(id=2, shelf_id=1))
        session.flush()
        session.execute(insert(half.tables["book"]), [{"id": 3, "shelf_id": 1}])
    assert half.system.check().ok


def test_they_are_not_heard_where_they_are_allowed(engine: Engine) -> None:
    half = Half(engine, unattached="allow")
    with engine.begin() as connection:
        connection.execute(insert(half.tables["shelf"]).values(id=1, size=3))
    half.rest()
    assert len(half.system.repair().differences) == 1


@pytest.mark.parametrize("unattached", ["warn", "raise"])
def test_a_write_before_the_first_session_is_heard_at_once(engine: Engine, unattached: Any) -> None:
    """The models are there; only nothing has configured them yet."""
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    system = iq.System(engine, base=cupboard.Base, unattached=unattached)
    with engine.begin() as connection:
        connection.execute(insert(cupboard.Note.__table__).values(id=1))  # type: ignore[arg-type]
    statement = insert(cupboard.box).values(id=1, size=1, label_count=0)
    if unattached == "warn":
        with pytest.warns(iq.UnattachedWriteWarning, match="insert on 'box'"), engine.begin() as connection:
            connection.execute(statement)
        assert len(system.repair().differences) == 1
    else:
        with pytest.raises(iq.UnmanagedWriteError, match="insert on 'box'"), engine.begin() as connection:
            connection.execute(statement)


def test_faulty_models_leave_core_alone(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Faulty(Base):
        __tablename__ = "faulty"
        id: Mapped[int] = mapped_column(primary_key=True)
        size: Mapped[int] = iq.computed(iq.Count("nothing"))

    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(Faulty.__table__).values(id=1, size=0))  # type: ignore[arg-type]
    with pytest.raises(iq.DefinitionError, match="nothing"):
        system.check()


def test_models_that_nothing_is_computed_in_are_not_configured(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Plain(Base):
        __tablename__ = "plain"
        id: Mapped[int] = mapped_column(primary_key=True)

    listening = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with engine.begin() as connection, warnings.catch_warnings():
        warnings.simplefilter("error")
        connection.execute(insert(Plain.__table__).values(id=1))  # type: ignore[arg-type]
        connection.execute(insert(Table("plain", MetaData(), autoload_with=connection)).values(id=2))
    assert not Plain.__mapper__.configured
    assert listening.check().ok
