"""First and Latest while two transactions change the leading members, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import ForeignKey, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq
from tests.engine.schedules import assert_true, in_background, wait_until_blocked
from tests.support.engines import EngineFactory

pytestmark = [pytest.mark.postgres, pytest.mark.concurrency]


class Base(DeclarativeBase):
    pass


class Room(Base):
    __tablename__ = "room"
    id: Mapped[int] = mapped_column(primary_key=True)
    messages: Mapped[list[Message]] = relationship()
    first: Mapped[str | None] = iq.computed(iq.First("messages", "text", by="at"))
    latest: Mapped[str | None] = iq.computed(iq.Latest("messages", "text", by="at"))


class Message(Base):
    __tablename__ = "message"
    id: Mapped[int] = mapped_column(primary_key=True)
    room_id: Mapped[int] = mapped_column(ForeignKey("room.id"))
    at: Mapped[int]
    text: Mapped[str]


def new(key: int, at: int) -> Callable[[Session], object]:
    return lambda s: s.execute(insert(Message), [{"id": key, "room_id": 1, "at": at, "text": f"new {key}"}])


def gone(*keys: int) -> Callable[[Session], object]:
    return lambda s: s.execute(delete(Message).where(Message.id.in_(keys)))


def moved(key: int, at: int) -> Callable[[Session], object]:
    return lambda s: s.execute(update(Message).where(Message.id == key).values(at=at))


def told(key: int, content: str) -> Callable[[Session], object]:
    return lambda s: s.execute(update(Message).where(Message.id == key).values(text=content))


@pytest.mark.parametrize(
    ("one", "two", "first", "latest"),
    [
        pytest.param(gone(1), gone(2), "3", "5", id="two leaders leave, one after the other"),
        pytest.param(gone(1), new(9, 0), "new 9", "5", id="a new leader comes while the old one leaves"),
        pytest.param(new(9, 0), gone(1), "new 9", "5", id="the old leader leaves while a new one comes"),
        pytest.param(new(9, 0), new(8, 0), "new 8", "5", id="two new leaders with the same place"),
        pytest.param(gone(5), moved(3, 99), "1", "3", id="another member takes the place of one that leaves"),
        pytest.param(gone(1), told(2, "changed"), "changed", "5", id="the next leader changes while the leader leaves"),
        pytest.param(moved(1, 50), moved(2, 40), "3", "1", id="both step back"),
        pytest.param(gone(1, 2, 3), gone(4, 5), None, None, id="all leave"),
    ],
)
@pytest.mark.parametrize("commits", [True, False])
def test_the_second_waits_for_the_first(
    engine_for: EngineFactory,
    one: Callable[[Session], object],
    two: Callable[[Session], object],
    first: str | None,
    latest: str | None,
    *,
    commits: bool,
) -> None:
    engine = engine_for("psycopg")
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=Base)
    Base.metadata.create_all(engine)
    with sessions.begin() as session:
        session.add(Room(id=1, messages=[Message(id=n, at=n, text=str(n)) for n in range(1, 6)]))

    def later() -> None:
        with sessions.begin() as session:
            two(session)

    with sessions() as session:
        one(session)
        with in_background(later):
            wait_until_blocked(engine)
            session.commit() if commits else session.rollback()
    assert_true(system)
    if commits:
        with sessions() as session:
            assert session.execute(select(Room.first, Room.latest)).one() == (first, latest)
