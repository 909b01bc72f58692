"""What listeners of the application make of a flush or a statement is followed, whenever they were registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData, delete, event, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    ORMExecuteState,
    Session,
    mapped_column,
    relationship,
    scoped_session,
    sessionmaker,
    with_loader_criteria,
)

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState


class Base(DeclarativeBase):
    metadata = MetaData()


class Doc(Base):
    __tablename__ = "doc"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(default="")
    revisions: Mapped[list[Revision]] = relationship(back_populates="doc", cascade="all, delete-orphan")
    count: Mapped[int] = iq.computed(iq.Count("revisions", where={"hidden": False}))
    words: Mapped[int] = iq.computed(iq.Summation("revisions", "words"))


class Revision(Base):
    __tablename__ = "revision"
    id: Mapped[int] = mapped_column(primary_key=True)
    doc_id: Mapped[int] = mapped_column(ForeignKey("doc.id"))
    words: Mapped[int] = mapped_column(default=1)
    hidden: Mapped[bool] = mapped_column(default=False)
    doubled: Mapped[int] = iq.computed(lambda revision: revision.words * 2)
    doc: Mapped[Doc] = relationship(back_populates="revisions")


class Archive(Base):
    __tablename__ = "archive"
    __computation__ = iq.Transform(Revision, lambda revision: {"words": revision["words"]})
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[int]


Listener = Callable[..., Any]


class House:
    """A database with a listener that is registered before or after the system, on one of several targets."""

    def __init__(self, engine: Engine, name: str, listener: Listener, place: str) -> None:
        Base.metadata.create_all(engine)

        class Sessions(Session):
            pass

        self.sessions = sessionmaker(engine, class_=Sessions)
        self.name, self.listener, self.place = name, listener, place
        if place == "before":
            event.listen(self.sessions, name, listener)
        self.system = iq.System(self.sessions, base=Base)
        if place == "after":
            event.listen(self.sessions, name, listener)
        elif place == "class":
            event.listen(Sessions, name, listener)
        elif place == "scoped":
            event.listen(scoped_session(self.sessions), name, listener)
        with self.sessions.begin() as session:
            session.info["quiet"] = True
            session.add_all(
                [Doc(id=n, revisions=[Revision(id=10 * n + m, words=m) for m in (1, 2, 3)]) for n in (1, 2)]
            )

    def session(self) -> Session:
        session = self.sessions()
        if self.place == "instance":
            event.listen(session, self.name, self.listener)
        return session

    def run(self, work: Callable[[Session], object], *, collects: bool = False) -> None:
        with self.session() as session:
            SessionState.of(session).collect_events = collects
            work(session)
            session.commit()
        report = self.system.check()
        assert report.ok, report.differences


PLACES = ["before", "after", "class", "scoped", "instance"]


def adds(session: Session) -> None:
    for doc in [o for o in session.dirty if isinstance(o, Doc)]:
        session.add(Revision(id=100 + doc.id, doc_id=doc.id, words=100))


def adds_to_a_collection(session: Session) -> None:
    for doc in [o for o in session.dirty if isinstance(o, Doc)]:
        doc.revisions.append(Revision(id=100 + doc.id, words=100))


def changes(session: Session) -> None:
    session.get_one(Revision, 21).words = 50
    session.get_one(Revision, 22).doc_id = 1


def removes(session: Session) -> None:
    session.delete(session.get_one(Revision, 12))


def removes_from_a_collection(session: Session) -> None:
    doc = session.get_one(Doc, 2)
    doc.revisions.remove(doc.revisions[0])


def runs_a_statement(session: Session) -> None:
    session.execute(update(Revision).where(Revision.id.in_([11, 21])).values(words=Revision.words + 100, doc_id=2))


def runs_an_insert(session: Session) -> None:
    session.execute(insert(Revision).values(id=77, doc_id=1, words=7))


def runs_a_delete(session: Session) -> None:
    session.execute(delete(Revision).where(Revision.id == 21))


HOOKS = [
    adds,
    adds_to_a_collection,
    changes,
    removes,
    removes_from_a_collection,
    runs_a_statement,
    runs_an_insert,
    runs_a_delete,
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook.__name__)
def test_before_flush(engine: Engine, hook: Callable[[Session], None], place: str) -> None:
    def listener(session: Session, context: Any, instances: Any) -> None:
        if not session.info.get("quiet"):
            session.info["quiet"] = True
            hook(session)

    house = House(engine, "before_flush", listener, place)

    def work(session: Session) -> None:
        session.get_one(Doc, 1).title = "new"
        session.get_one(Revision, 11).words = 20
        session.flush()

    house.run(work, collects=place in ("class", "instance"))


@pytest.mark.parametrize("place", PLACES)
def test_a_flush_that_only_the_listener_makes_one_of_ours(engine: Engine, place: str) -> None:
    def listener(session: Session, context: Any, instances: Any) -> None:
        for note in [o for o in session.new if isinstance(o, Archive)]:
            session.expunge(note)
            session.add(Revision(id=90, doc_id=1, words=note.words))

    house = House(engine, "before_flush", listener, place)
    house.run(lambda session: session.add(Archive(words=8)))


@pytest.mark.parametrize("place", PLACES)
def test_computed_columns_are_refused_all_the_same(engine: Engine, place: str) -> None:
    def listener(session: Session, context: Any, instances: Any) -> None:
        if not session.info.get("quiet"):
            session.get_one(Doc, 1).count = 17

    house = House(engine, "before_flush", listener, place)
    with house.session() as session:
        session.get_one(Doc, 1).title = "new"
        with pytest.raises(iq.ComputedWriteError):
            session.flush()
        session.rollback()
    house.run(lambda session: session.info.update(quiet=True))


def soft_delete(state: ORMExecuteState) -> Any:
    if state.is_delete:
        statement: Any = state.statement
        return state.session.execute(update(Revision).where(*statement._where_criteria).values(hidden=True))
    return None


def writes_more(state: ORMExecuteState) -> Any:
    if state.is_update:
        statement: Any = state.statement
        state.statement = statement.values(hidden=True)


def invokes_another(state: ORMExecuteState) -> Any:
    if state.is_update:
        statement: Any = state.statement
        return state.invoke_statement(statement=statement.values(doc_id=2))
    return None


def narrows(state: ORMExecuteState) -> Any:
    if (state.is_update or state.is_delete) and not isinstance(state.parameters, list):  # an UPDATE by key has no WHERE
        statement: Any = state.statement
        state.statement = statement.where(Revision.words > 1)


def has_criteria(state: ORMExecuteState) -> Any:
    if state.is_update or state.is_delete:
        state.statement = state.statement.options(with_loader_criteria(Revision, Revision.words > 1))


def refuses_all(state: ORMExecuteState) -> Any:
    if state.is_update or state.is_delete:
        return state.session.execute(select(Revision.id))
    return None


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "hook",
    [soft_delete, writes_more, invokes_another, narrows, has_criteria, refuses_all],
    ids=lambda hook: hook.__name__,
)
def test_statements(engine: Engine, hook: Listener, place: str) -> None:
    house = House(engine, "do_orm_execute", hook, place)
    house.run(lambda session: session.execute(delete(Revision).where(Revision.doc_id == 1)), collects=True)
    house.run(lambda session: session.execute(update(Revision).where(Revision.id < 22).values(words=9)))
    house.run(lambda session: session.execute(update(Revision), [{"id": 22, "words": 9}, {"id": 23, "words": 8}]))
    house.run(lambda session: session.execute(insert(Revision), [{"doc_id": 1, "id": 91}, {"doc_id": 1, "id": 92}]))


@pytest.mark.parametrize("place", PLACES)
def test_the_listener_sees_a_statement_once(engine: Engine, place: str) -> None:
    seen: list[Any] = []

    def listener(state: ORMExecuteState) -> Any:
        if state.is_delete:
            seen.append(state.statement)

    house = House(engine, "do_orm_execute", listener, place)
    house.run(lambda session: session.execute(delete(Revision).where(Revision.id == 11)))
    assert len(seen) == 1 or place == "before"


def _upsert(session: Session) -> Any:
    made: Any = (sqlite if session.get_bind().dialect.name == "sqlite" else postgresql).insert(Revision)
    return made.on_conflict_do_update(index_elements=["id"], set_={"words": Revision.words + 10})


STATEMENTS: dict[str, Callable[[Session], object]] = {
    "rows": lambda session: session.execute(insert(Revision), [{"id": n, "doc_id": 1} for n in (50, 51)]),
    "values": lambda session: session.execute(insert(Revision).values(id=50, doc_id=1)),
    "update": lambda session: session.execute(update(Revision).where(Revision.id > 12).values(words=9)),
    "delete": lambda session: session.execute(delete(Revision).where(Revision.id > 12)),
    "upsert": lambda session: session.execute(_upsert(session).values(id=11, doc_id=1)),
    "upsert of rows": lambda session: session.execute(_upsert(session), [{"id": n, "doc_id": 1} for n in (11, 12, 50)]),
    "upsert that returns": lambda session: session.scalars(
        _upsert(session).returning(Revision.id), [{"id": n, "doc_id": 1} for n in (11, 50)]
    ).all(),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_listener_is_called_once_for_a_statement(engine: Engine, place: str, statement: str) -> None:
    heard: list[ORMExecuteState] = []

    def listener(execution: ORMExecuteState) -> None:
        if not execution.is_select and not execution.session.info.get("quiet"):
            heard.append(execution)

    House(engine, "do_orm_execute", listener, place).run(STATEMENTS[statement])
    assert len(heard) == 1
