"""A class that could not be mapped, an error that a program may go on from, is no part of what is declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Engine, ForeignKey, Integer, Table, insert
from sqlalchemy.exc import ArgumentError, NoForeignKeysError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


def shop() -> tuple[Any, Any, Any]:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Any]] = relationship("Member")
        size: Mapped[int] = iq.computed(iq.Count("members"))

    class Member(Base):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))

    return Base, Host, Member


def discriminator(base: Any, failed: Any) -> None:
    table = Table("failed", base.metadata, Column("id", Integer, primary_key=True))
    base.registry.map_imperatively(failed, table, polymorphic_on="nothing")


def discriminator_of_a_host(base: Any, failed: Any) -> None:
    base.registry.map_imperatively(failed, base.metadata.tables["host"], polymorphic_on="nothing")


def unknown_column(base: Any, failed: Any) -> None:
    table = Table("failed", base.metadata, Column("id", Integer, primary_key=True))
    base.registry.map_imperatively(failed, table, properties={"other": Column("other", Integer)})


def without_a_key(base: Any, failed: Any) -> None:
    base.registry.map_imperatively(failed, Table("failed", base.metadata, Column("id", Integer)))


def without_a_join(base: Any, failed: Any) -> None:
    table = Table("failed", base.metadata, Column("id", Integer, primary_key=True))
    host = next(mapper for mapper in base.registry.mappers if mapper.local_table.name == "host")
    base.registry.map_imperatively(failed, table, inherits=host)


CASES = [discriminator, discriminator_of_a_host, unknown_column, without_a_key, without_a_join]


@pytest.mark.parametrize("late", [False, True], ids=["before the plan", "after the plan"])
@pytest.mark.parametrize("mapping", CASES, ids=lambda mapping: mapping.__name__)
def test_the_others_work(engine: Engine, mapping: Callable[[Any, Any], None], late: bool) -> None:
    base, host, member = shop()
    system = iq.System(engine, base=base)
    base.metadata.create_all(engine)
    if late:
        with system.session_factory.begin() as session:
            session.add(host(id=1))

    class Failed:
        pass

    with pytest.raises((ArgumentError, NoForeignKeysError)):
        mapping(base, Failed)
    with system.session_factory.begin() as session:
        if not late:
            session.execute(insert(host.__table__), [{"id": 1}])
        session.add_all([member(id=1, host_id=1), member(id=2, host_id=1)])
        session.flush()
        assert session.get_one(host, 1).size == 2
        session.execute(insert(member), [{"id": 3, "host_id": 1}])
        assert session.get_one(host, 1).size == 3
    assert system.check().ok
