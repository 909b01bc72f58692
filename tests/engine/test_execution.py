"""The engine's statements by the driver's cursor: unseen only where nobody looks, and failing as SQLAlchemy's do."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, event, select, text, update
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session import cursor_execution as execution
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true, engine_of
from tests.support.engines import AsyncEngineFactory, EngineFactory
from tests.support.statements import count_statements


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    pages: Mapped[int] = iq.computed(iq.Summation("books", "pages"))
    books: Mapped[list[Book]] = relationship(back_populates="shelf")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    pages: Mapped[int]
    shelf: Mapped[Shelf] = relationship(back_populates="books")


@pytest.fixture
def library(make_system: MakeSystem) -> iq.System:
    """Return a system over a shelf with one book."""
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Shelf(id=1, books=[Book(id=1, pages=10)]))
    return system


def write(system: iq.System, pages: int) -> None:
    with system.session_factory.begin() as session:
        session.get_one(Book, 1).pages = pages


@pytest.fixture
def by_cursor(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the texts of the statements that the cursor runs from now on."""
    seen: list[str] = []

    def run(connection: Any, kept: Any, given: Any) -> Any:
        seen.append(kept.text)
        return original(connection, kept, given)

    original = execution.run_cached
    monkeypatch.setattr(execution, "run_cached", run)
    return seen


def test_the_cursor_runs_them_where_nobody_listens(library: iq.System, by_cursor: list[str]) -> None:
    write(library, 20)
    assert any("UPDATE shelf" in statement for statement in by_cursor)
    assert_true(library)


@pytest.mark.parametrize(
    ("name", "place"),
    [("before_cursor_execute", 2), ("after_cursor_execute", 2), ("before_execute", 1), ("after_execute", 1)],
)
def test_who_listens_sees_each_statement(library: iq.System, by_cursor: list[str], name: str, place: int) -> None:
    seen: list[str] = []

    def listen(*arguments: Any) -> None:
        seen.append(str(arguments[place]))

    write(library, 20)  # what is kept by now must not go on unseen
    by_cursor.clear()
    event.listen(engine_of(library), name, listen, named=False)
    write(library, 30)
    assert not by_cursor
    assert any("UPDATE shelf" in statement for statement in seen)
    event.remove(engine_of(library), name, listen)
    write(library, 40)
    assert by_cursor
    assert_true(library)


def test_the_log_shows_them(library: iq.System, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    engine_of(library).dispose()  # connections ask when they are made
    write(library, 20)
    assert any("UPDATE shelf" in record.getMessage() for record in caplog.records)


def _locked(session: Session) -> None:
    session.execute(text("SET LOCAL lock_timeout = '50ms'"))
    session.get_one(Book, 1).pages = 99
    session.flush()


def test_errors_are_sqlalchemy_s(make_postgres_system: MakeSystem, by_cursor: list[str]) -> None:
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add(Shelf(id=1, books=[Book(id=1, pages=10)]))
    heard: list[Any] = []
    event.listen(engine_of(system), "handle_error", heard.append)
    with system.session_factory() as holder:
        holder.execute(select(Book).with_for_update()).all()
        by_cursor.clear()
        with system.session_factory() as session, pytest.raises(OperationalError) as caught:
            _locked(session)
    assert by_cursor
    assert "FOR NO KEY UPDATE" in str(caught.value.statement)
    assert caught.value.params
    assert caught.value.orig is not None
    assert getattr(caught.value.orig, "sqlstate", None) == "55P03"
    assert [context.original_exception for context in heard] == [caught.value.orig]
    write(system, 20)
    assert_true(system)


def test_a_connection_that_breaks_is_replaced(make_postgres_system: MakeSystem, by_cursor: list[str]) -> None:
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add(Shelf(id=1, books=[Book(id=1, pages=10)]))
    with system.session_factory() as session:
        book = session.get_one(Book, 1)
        mine = session.scalar(text("SELECT pg_backend_pid()"))
        with engine_of(system).connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": mine})
        by_cursor.clear()
        book.pages = 20
        with pytest.raises(OperationalError) as caught:
            session.flush()
    assert by_cursor
    assert caught.value.connection_invalidated
    write(system, 20)
    assert_true(system)


async def _async_library(async_engine_for: AsyncEngineFactory) -> iq.AsyncSystem:
    engine = async_engine_for("asyncpg")
    system = iq.AsyncSystem(engine, base=Base)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with system.session_factory.begin() as session:
        session.add(Shelf(id=1, books=[Book(id=1, pages=10)]))
    return system


async def _write(system: iq.AsyncSystem, pages: int) -> None:
    async with system.session_factory.begin() as session:
        (await session.get_one(Book, 1)).pages = pages


@pytest.mark.postgres
async def test_plans_that_ddl_has_made_invalid_are_forgotten(async_engine_for: AsyncEngineFactory) -> None:
    system = await _async_library(async_engine_for)
    await _write(system, 20)
    async with async_engine_for("asyncpg").begin() as connection:  # another pool
        await connection.execute(text("ALTER TABLE shelf ALTER COLUMN pages TYPE bigint"))
    with pytest.raises(DBAPIError, match="cached"):
        await _write(system, 30)
    await _write(system, 30)
    assert (await system.check()).ok


@pytest.mark.postgres
async def test_errors_of_asyncpg_are_sqlalchemy_s(async_engine_for: AsyncEngineFactory) -> None:
    system = await _async_library(async_engine_for)
    async with system.session_factory() as holder, system.session_factory() as session:
        await holder.execute(select(Book).with_for_update())
        with pytest.raises(DBAPIError) as caught:
            await session.run_sync(_locked)
    assert getattr(caught.value.orig, "sqlstate", None) == "55P03"
    await _write(system, 20)
    assert (await system.check()).ok


def test_columns_that_an_update_sets_by_itself(engine_for: EngineFactory) -> None:
    """What Python computes for each execution stays SQLAlchemy's business."""

    class Own(DeclarativeBase):
        pass

    stamps = iter(range(100, 200))

    class Change(Own):
        __tablename__ = "change"
        id: Mapped[int] = mapped_column(primary_key=True)
        ticket_id: Mapped[int]

    nodes = [iq.StateNode("new"), iq.StateNode("done")]
    machine = iq.StateMachine(
        states=nodes,
        initial_state=nodes[0],
        transfers=[
            iq.StateTransfer(
                current=nodes[0],
                next=nodes[1],
                trigger=iq.Trigger(Change),
                compute_target=lambda _, happened: happened.record["ticket_id"],
            )
        ],
    )

    class Ticket(Own):
        __tablename__ = "ticket"
        id: Mapped[int] = mapped_column(primary_key=True)
        stamp: Mapped[int] = mapped_column(default=0, onupdate=lambda: next(stamps))
        state: Mapped[str] = iq.computed(machine)

    engine: Engine = engine_for("pysqlite")
    system = iq.System(engine, base=Own)
    Own.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        session.add(Ticket(id=1))
    for _ in range(2):
        with count_statements(engine), system.session_factory.begin() as session:
            session.add(Change(ticket_id=1))
    with system.session_factory.begin() as session:
        session.add_all([Ticket(id=2), Ticket(id=3)])
    with system.session_factory.begin() as session:
        session.add(Change(ticket_id=2))
    with system.session_factory() as session:
        found = {t.id: (t.state, t.stamp > 0) for t in session.scalars(select(Ticket))}
    assert found[1][0] == found[2][0] == "done"
    assert found[3] == ("new", False)
    # the same whether somebody listens or not
    assert found[1][1] == found[2][1]


class Odd(DeclarativeBase):
    """Names that the engine's statements use too."""


class Changes(Odd):
    __tablename__ = "changes"
    first: Mapped[int] = mapped_column(primary_key=True)
    rows: Mapped[int] = mapped_column(default=0)
    rows_d0: Mapped[int] = mapped_column(default=0)
    ids_0_p0: Mapped[int] = mapped_column(default=0)
    second: Mapped[int] = iq.computed(iq.Summation("members", "d0"))
    members: Mapped[list[Sums]] = relationship()


class Sums(Odd):
    __tablename__ = "sums0"
    k0: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[int] = mapped_column(ForeignKey("changes.first"))
    d0: Mapped[int] = mapped_column(default=1)


@pytest.mark.parametrize("observed", [False, True])
def test_names_of_the_application_are_its_own(make_system: MakeSystem, observed: bool) -> None:
    system = make_system(Odd)
    with ExitStack() as stack:
        if observed:
            stack.enter_context(count_statements(engine_of(system)))
        with system.session_factory.begin() as session:
            session.add_all([Changes(first=n) for n in (1, 2, 3)])
            session.flush()
            session.add_all([Sums(k0=n, first=1 + n % 2) for n in range(4)])
        with system.session_factory.begin() as session:
            session.get_one(Sums, 0).d0 = 7
            session.get_one(Sums, 1).first = 3
        with system.session_factory.begin() as session:
            session.get_one(Sums, 2).d0 = 9
        with system.session_factory.begin() as session:
            session.execute(update(Sums).values(d0=Sums.d0 + 1))
            session.delete(session.get_one(Sums, 3))
    assert_true(system)


def test_a_savepoint_begins_before_the_engine_s_statements(make_postgres_system: MakeSystem) -> None:
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add(Shelf(id=1, books=[Book(id=1, pages=10), Book(id=2, pages=1)]))
    with system.session_factory() as holder, system.session_factory.begin() as session:
        holder.execute(select(Book).where(Book.id == 1).with_for_update()).all()
        session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        books = {book.id: book for book in session.scalars(select(Book))}
        books[2].pages = 5
        session.flush()
        savepoint = session.begin_nested()
        books[1].pages = 99
        with pytest.raises(OperationalError):
            session.flush()  # the engine's lock is the first statement that the savepoint sees
        savepoint.rollback()
        books[2].pages = 6
    assert_true(system)


@pytest.mark.parametrize("name", ["before_cursor_execute", "after_cursor_execute", "before_execute", "after_execute"])
def test_one_listener_observes_an_engine_that_no_system_has_seen(engine: Engine, name: str) -> None:
    """As in a migration, whose statements a tracer hears too."""
    with engine.connect() as connection:
        assert not execution.is_observed(connection, {})
    event.listen(engine, name, lambda *_: None)
    with engine.connect() as connection:
        assert execution.is_observed(connection, {})
