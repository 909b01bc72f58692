"""Who collects events hears of tables too from which nothing is computed, by whatever statement they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, event, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.engine.event_oracle import replay, snapshot


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(default="new")


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id", ondelete="SET NULL"))
    size: Mapped[int] = mapped_column(default=1)


class Lid(Base):
    __tablename__ = "lid"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id", ondelete="CASCADE"))


class Counted(Base):
    """The one table with a computed value, which has nothing to do with the others."""

    __tablename__ = "counted"
    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]
    double: Mapped[int] = iq.computed(lambda row: 2 * row.n)


CLASSES = (Shelf, Box, Lid, Counted)
_AS_IS = {"synchronize_session": False}


def _upsert(session: Session) -> None:
    make: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = make(Box)
    changes = {"size": statement.excluded.size}
    upsert = statement.on_conflict_do_update(index_elements=["id"], set_=changes)
    session.execute(upsert, [{"id": 1, "size": 7}, {"id": 50, "size": 8}])


WRITES: dict[str, Callable[[Session], Any]] = {
    "insert": lambda s: s.execute(insert(Box), [{"id": 10, "shelf_id": 1}, {"id": 11, "size": 3}]),
    "insert into a table": lambda s: s.execute(insert(Box.__table__).values(id=12, shelf_id=2)),  # type: ignore[arg-type]
    "insert of values": lambda s: s.execute(insert(Shelf).values([{"id": 8}, {"id": 9, "label": "x"}])),
    "update": lambda s: s.execute(update(Box).where(Box.size > 1).values(size=Box.size + 1), execution_options=_AS_IS),
    "update of a table": lambda s: s.execute(update(Shelf.__table__).values(label="other")),  # type: ignore[arg-type]
    "update by key": lambda s: s.execute(update(Box), [{"id": 1, "size": 5}, {"id": 2, "shelf_id": None}]),
    "delete": lambda s: s.execute(delete(Box).where(Box.size == 2), execution_options=_AS_IS),
    "delete from a table": lambda s: s.execute(delete(Shelf.__table__)),  # type: ignore[arg-type]
    "upsert": _upsert,
}


@pytest.fixture
def sessions(engine: Engine) -> Any:
    found = sessionmaker(engine)
    iq.System(found, base=Base)
    Base.metadata.create_all(engine)
    with found.begin() as session:
        session.add_all([Shelf(id=1), Shelf(id=2), Counted(id=1, n=1)])
        session.flush()
        session.add_all([Box(id=1, shelf_id=1), Box(id=2, shelf_id=1, size=2), Box(id=3, shelf_id=2, size=3)])
        session.flush()
        session.add_all([Lid(id=n, box_id=n) for n in (1, 2, 3)])
    return found


@pytest.mark.parametrize("write", WRITES)
def test_statements(engine: Engine, sessions: Any, write: str) -> None:
    before = snapshot(engine, CLASSES)
    with sessions() as session:
        SessionState.of(session).collect_events = True
        WRITES[write](session)
        events = list(SessionState.of(session).transaction.events)
        session.commit()
    after = snapshot(engine, CLASSES)
    assert after != before
    assert replay(before, events) == after


def test_nothing_is_read_for_nobody(engine: Engine, sessions: Any) -> None:
    """Where nobody collects events such a statement stays the application's own."""
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with sessions.begin() as session:
        session.execute(update(Box).values(size=4), execution_options=_AS_IS)
    assert len([s for s in statements if "box" in s]) == 1


def test_effects_of_a_dispatch(engine: Engine) -> None:
    seen: list[tuple[str, Any]] = []

    def grow(ctx: iq.DispatchContext, _args: Any) -> None:
        ctx.session.execute(update(Shelf).where(Shelf.id == 1).values(label="grown"), execution_options=_AS_IS)

    Base.metadata.create_all(engine)
    system = iq.System(engine, base=Base)
    with system.session_factory.begin() as session:
        session.add_all([Shelf(id=1), Shelf(id=2)])
    audit = iq.RecordMutationSideEffect("audit", "Shelf", content=lambda _, e: seen.append((e.type, e.record["label"])))
    source = iq.Interaction("Grow", resolve=grow)
    controller = iq.Controller(system, event_sources=[source], record_mutation_side_effects=[audit])
    controller.setup(install=True)
    result = controller.dispatch(source, {"user": {"id": 1}})
    assert result.ok, result.error
    assert [(e.record_name, e.type) for e in result.effects if e.record_name == "Shelf"] == [("Shelf", "update")]
    assert seen == [("update", "grown")]
