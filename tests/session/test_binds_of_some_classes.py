"""Sessions that are bound class by class: a system needs no more binds than the session does without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, StaticPool, create_engine, delete, insert, inspect, select, text, update
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Host(Base):
    __tablename__ = "host"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    size: Mapped[int] = iq.computed(iq.Count("members"))
    total: Mapped[int] = iq.computed(iq.Summation("members", "amount"))
    members: Mapped[list[Member]] = relationship(back_populates="host", passive_deletes=True)
    labels: Mapped[list[Label]] = relationship(passive_deletes=True)
    label_count: Mapped[int] = iq.computed(iq.Count("labels"))


class Member(Base):
    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))
    amount: Mapped[int] = mapped_column(default=1)
    host: Mapped[Host] = relationship(back_populates="members")


class Label(Base):
    __tablename__ = "label"
    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"))


class OtherBase(DeclarativeBase):
    pass


class Thing(OtherBase):
    """In another database, where a table happens to have the name of one of ours."""

    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int] = mapped_column(default=1)


class Attached(Session):
    pass


@pytest.fixture
def system(engine: Engine) -> Iterator[iq.System]:
    system = iq.System(engine, base=Base)
    system.attach(Attached)
    Base.metadata.create_all(engine)
    with Attached(engine) as session, session.begin():
        session.add(Host(id=1, members=[Member(id=1), Member(id=2)], labels=[Label(id=1)]))
    yield system
    system.detach(Attached)


@pytest.fixture
def elsewhere() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    OtherBase.metadata.create_all(engine)
    yield engine
    engine.dispose()


THING: Any = Thing.__table__
WRITES_ELSEWHERE: dict[str, Callable[[Session], object]] = {
    "an object": lambda session: session.add(Thing(id=1)),
    "rows": lambda session: session.execute(insert(Thing), [{"id": 1}]),
    "a table": lambda session: session.execute(THING.insert().values(id=1), bind_arguments={"mapper": Thing}),
    "text": lambda session: session.execute(
        text("INSERT INTO member (id, amount) VALUES (1, 1)"), bind_arguments={"mapper": Thing}
    ),
    "bypasses the session": lambda session: session.connection(bind_arguments={"mapper": Thing}).execute(
        insert(THING).values(id=1)
    ),
}


@pytest.mark.filterwarnings("ignore::interaqt_sa.UnattachedWriteWarning")
@pytest.mark.parametrize("write", WRITES_ELSEWHERE)
def test_a_session_that_knows_only_another_database(system: iq.System, elsewhere: Engine, write: str) -> None:
    with Attached(binds={Thing: elsewhere}) as session, session.begin():
        WRITES_ELSEWHERE[write](session)
        session.flush()
        session.execute(update(Thing).values(amount=5))
        session.execute(text("UPDATE member SET amount = amount + 1 WHERE id = 1"), bind_arguments={"mapper": Thing})
        assert session.execute(select(Thing.id, Thing.amount)).all() == [(1, 6)]
    assert system.check().ok


def test_it_is_told_of_what_may_be_ours(system: iq.System, engine: Engine) -> None:
    """It knows no place for the models, but writes where they are."""
    with Attached(binds={Thing: engine}) as session, session.begin(), pytest.warns(iq.UnattachedWriteWarning):
        session.execute(THING.update().values(amount=2), bind_arguments={"mapper": Thing})


@pytest.mark.parametrize("bound", [Host, Member, Label])
def test_what_is_not_bound_is_where_the_rest_is(system: iq.System, engine: Engine, bound: type[Any]) -> None:
    binds: Any = {bound: engine}
    with Attached(binds=binds) as session, session.begin():
        if bound is Host:
            session.add(Host(id=2))
            session.flush()
            session.execute(update(Host).values(name="x"))
            session.execute(delete(Host).where(Host.id == 1))
        else:
            row = bound(id=7, host_id=1)
            session.add(row)
            session.flush()
            session.execute(insert(bound), [{"id": 8, "host_id": 1}])
            session.delete(row)
            session.flush()
            session.execute(delete(bound).where(bound.id == 1))
    assert system.check().ok
    with Attached(engine) as session:
        assert session.execute(select(Host.id, Host.size, Host.label_count).order_by(Host.id)).all() == (
            [(2, 0, 0)] if bound is Host else [(1, 2, 1)]
        )


def test_reading_asks_for_no_other_bind(system: iq.System, engine: Engine) -> None:
    """A CTE may hold a write, and is looked at for that reason alone."""
    asked: list[Any] = []

    class Asked(Attached):
        def get_bind(self, mapper: Any = None, **kw: Any) -> Any:
            asked.append(inspect(mapper).class_ if mapper is not None else None)
            return super().get_bind(mapper, **kw)

    with Asked(engine) as session:
        within = select(Label.id).cte()
        session.execute(select(Label).join(within, within.c.id == Label.id))
    assert asked == [Label]


def test_without_any_bind_the_error_is_sqlalchemys(system: iq.System) -> None:
    with Attached() as session:
        session.add(Host(id=5))
        with pytest.raises(UnboundExecutionError):
            session.flush()
        session.rollback()
        with pytest.raises(UnboundExecutionError):
            session.execute(delete(Host))
