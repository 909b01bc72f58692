"""Orphans of a many-to-one are followed, and options of a statement hold for what follows from it."""

from __future__ import annotations

from typing import Any, Literal
from unittest.mock import patch

import pytest
from sqlalchemy import Engine, ForeignKey, delete, event, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, ORMExecuteState, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.support.engines import EngineFactory


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    weight: Mapped[int] = iq.computed(iq.Summation("labels", "weight"))
    labels: Mapped[list[Label]] = relationship(back_populates="box")


class Label(Base):
    """Belongs to the one parcel that refers to it."""

    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
    weight: Mapped[int] = mapped_column(default=1)
    box: Mapped[Box] = relationship(back_populates="labels")
    marks: Mapped[list[Mark]] = relationship(cascade="all, delete-orphan")
    mark_count: Mapped[int] = iq.computed(iq.Count("marks"))


class Mark(Base):
    __tablename__ = "mark"
    id: Mapped[int] = mapped_column(primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey("label.id"))


class Parcel(Base):
    __tablename__ = "parcel"
    id: Mapped[int] = mapped_column(primary_key=True)
    label_id: Mapped[int | None] = mapped_column(ForeignKey("label.id"))
    label: Mapped[Label | None] = relationship(cascade="all, delete-orphan", single_parent=True)


@pytest.fixture
def system(engine: Engine) -> iq.System:
    Base.metadata.create_all(engine)
    system = iq.System(engine, base=Base)
    with system.session_factory.begin() as session:
        session.add(Box(id=1))
        session.flush()
        label = Label(id=1, box_id=1, weight=3, marks=[Mark(), Mark()])
        session.add_all([Parcel(id=1, label=label), Parcel(id=2), Label(id=2, box_id=1, weight=5)])
    return system


@pytest.mark.parametrize("new", [None, "another", "fresh"])
def test_an_orphan_is_deleted_with_what_it_gave(system: iq.System, new: str | None) -> None:
    with system.session_factory.begin() as session:
        parcel = session.get_one(Parcel, 1)
        assert parcel.label is not None
        match new:
            case None:
                parcel.label = None
            case "another":
                parcel.label = session.get_one(Label, 2)
            case _:
                parcel.label = Label(id=3, box_id=1, weight=7)
        session.flush()
        assert session.get_one(Box, 1).weight == {None: 5, "another": 5, "fresh": 12}[new]
    with system.session_factory() as session:
        assert session.get(Label, 1) is None
        assert session.scalars(select(Mark)).all() == []
    assert system.check().ok


def test_one_that_finds_another_parent_stays(system: iq.System) -> None:
    with system.session_factory.begin() as session:
        first, second = session.get_one(Parcel, 1), session.get_one(Parcel, 2)
        label = first.label
        first.label, second.label = None, label
        session.flush()
    with system.session_factory() as session:
        assert session.get_one(Label, 1).mark_count == 2
        assert session.get_one(Box, 1).weight == 8
    assert system.check().ok


Where = Literal["execute", "statement", "listener"]


def give(session: Session, options: dict[str, Any], where: Where, statement: Any, rows: Any = None) -> None:
    """Execute a statement with options, which it has itself, are given with it, or come from a listener."""
    match where:
        case "execute":
            session.execute(statement, rows, execution_options=options)
        case "statement":
            session.execute(statement.execution_options(**options), rows)
        case "listener":

            def listener(execution: ORMExecuteState) -> None:
                execution.update_execution_options(**options)

            event.listen(session, "do_orm_execute", listener)
            session.execute(statement, rows)
            event.remove(session, "do_orm_execute", listener)


def upsert_of(engine: Engine) -> Any:
    made: Any = (sqlite if engine.dialect.name == "sqlite" else postgresql).insert(Label)
    return made.values(id=7, box_id=1).on_conflict_do_update(index_elements=["id"], set_={"weight": 2})


@pytest.mark.parametrize("autoflush", [True, False], ids=["autoflush", "no autoflush"])
@pytest.mark.parametrize("where", ["execute", "statement", "listener"])
@pytest.mark.parametrize("what", ["rows", "values", "update", "delete", "upsert", "of the table"])
def test_a_statement_that_is_not_to_flush(system: iq.System, what: str, where: Where, autoflush: bool) -> None:
    """Statements of Core flush whatever the option says; so SQLAlchemy does."""
    engine = system.session_factory.kw["bind"]
    statements = {
        "rows": insert(Label),
        "values": insert(Label).values(id=7, box_id=1),
        "update": update(Label).where(Label.id == 2).values(weight=9),
        "delete": delete(Label).where(Label.id == 2),
        "upsert": upsert_of(engine),
        "of the table": update(Base.metadata.tables["label"]).values(weight=9),
    }
    rows = [{"id": 7, "box_id": 1}, {"id": 8, "box_id": 1}] if what == "rows" else None
    with system.session_factory.begin() as session:
        session.add(Label(id=70, box_id=1))
        give(session, {"autoflush": autoflush}, where, statements[what], rows)
        assert bool(session.new) is (not autoflush and what != "of the table")
    assert system.check().ok


@pytest.mark.parametrize("what", ["rows", "values", "update", "delete", "upsert"])
@pytest.mark.parametrize("autoflush", [True, False], ids=["autoflush", "no autoflush"])
def test_a_statement_asks_once_for_a_flush(system: iq.System, what: str, autoflush: bool) -> None:
    """SQLAlchemy's own tests count it; a listener may have replaced it."""
    statements = {
        "rows": insert(Label),
        "values": insert(Label).values(id=7, box_id=1),
        "update": update(Label).where(Label.id == 2).values(weight=9),
        "delete": delete(Label).where(Label.id == 2),
        "upsert": upsert_of(system.session_factory.kw["bind"]),
    }
    rows = [{"id": 7, "box_id": 1}, {"id": 8, "box_id": 1}] if what == "rows" else None
    with system.session_factory.begin() as session, patch.object(session, "_autoflush") as asked:
        session.execute(statements[what], rows, execution_options={"autoflush": autoflush})
        assert asked.call_count == autoflush


def test_an_error_of_a_flush_says_what_has_caused_it(system: iq.System) -> None:
    with system.session_factory() as session:
        session.add(Label(id=1, box_id=1))
        with pytest.raises(IntegrityError, match="autoflush"):
            session.execute(update(Label).where(Label.id == 2).values(weight=9))


@pytest.mark.postgres
@pytest.mark.parametrize("where", ["execute", "statement", "listener"])
def test_a_translated_schema_given_to_execute(engine_for: EngineFactory, where: Where) -> None:
    engine = engine_for("psycopg")
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA IF EXISTS tenant CASCADE"))
        connection.execute(text("CREATE SCHEMA tenant"))
    there = engine.execution_options(schema_translate_map={None: "tenant"})
    for place in (engine, there):
        Base.metadata.create_all(place)
    system = iq.System(engine, base=Base)
    options: dict[str, Any] = {"schema_translate_map": {None: "tenant"}}
    with system.session_factory.begin() as session:
        session.add(Box(id=1))
        give(session, options, where, insert(Box), [{"id": 1}, {"id": 2}])
        give(session, options, where, insert(Label), [{"id": n, "box_id": 1} for n in (1, 2, 3)])
        moving = update(Label).where(Label.id > 1).values(box_id=2)
        give(session, {**options, "synchronize_session": False}, where, moving)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id, weight FROM tenant.box ORDER BY id")).all() == [(1, 1), (2, 2)]
        assert connection.execute(text("SELECT id, weight FROM public.box")).all() == [(1, 0)]
        connection.rollback()
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA tenant CASCADE"))
