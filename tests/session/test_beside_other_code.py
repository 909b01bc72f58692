"""What works without a system works with one: DDL by text, engines of a test, subclasses that are not mapped."""

from __future__ import annotations

from unittest import mock

from sqlalchemy import DDL, Column, ColumnDefault, Engine, ForeignKey, Integer, Sequence, Table, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, registry, relationship

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Host(Base):
    __tablename__ = "host"
    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int] = iq.computed(iq.Count("members"))
    members: Mapped[list[Member]] = relationship(back_populates="host")


class Member(Base):
    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
    host: Mapped[Host] = relationship(back_populates="members")


def test_ddl_through_a_session(engine: Engine) -> None:
    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with system.session_factory.begin() as session:
        session.add(Host(id=1, members=[Member()]))
        session.flush()
        session.connection().execute(DDL("CREATE TABLE beside (id INTEGER)"))
        session.execute(DDL("DROP TABLE beside"))
    assert system.check().ok


def test_defaults_that_are_executed_by_themselves(engine: Engine) -> None:
    system = iq.System(engine, base=Base)
    number = Sequence("number_of_something")
    defaults: list[tuple[ColumnDefault | Sequence, object]] = [(ColumnDefault(func.upper("a")), "A")]
    if engine.dialect.supports_sequences:
        number.create(engine)
        defaults.append((number, 1))
    for default, value in defaults:
        with system.session_factory() as session:
            assert session.scalar(default) == value
            assert session.connection().scalar(default) in (value, 2)
        with engine.connect() as connection:
            assert connection.scalar(default) in (value, 3)


def test_a_connection_that_is_none(engine: Engine) -> None:
    system = iq.System(engine, base=Base)
    stand_in = mock.Mock()
    connection = mock.Mock(engine=stand_in, in_transaction=mock.Mock(return_value=False))
    stand_in.connect = mock.Mock(return_value=connection)
    class_ = system.session_factory.class_
    assert class_(stand_in).connection() is not None


def test_a_class_whose_mapping_was_undone(engine: Engine) -> None:
    """Its objects leave the session as without a system."""

    class Stranger:
        pass

    system = iq.System(engine, base=Base)
    other = registry()
    other.map_imperatively(Stranger, Table("stranger", other.metadata, Column("id", Integer, primary_key=True)))
    instance = Stranger()
    with system.session_factory() as session:
        session.add(instance)
        session.connection()
        other.dispose()
        session.rollback()
        assert instance not in session
