"""Hosts whose key has three columns are counted again like any other."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, ForeignKeyConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq


def test_check_and_repair(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Member(Base):
        __tablename__ = "member"
        __table_args__ = (ForeignKeyConstraint(["x", "y", "z"], ["host.a", "host.b", "host.c"]),)
        id: Mapped[int] = mapped_column(primary_key=True)
        x: Mapped[int]
        y: Mapped[int]
        z: Mapped[int]

    class Host(Base):
        __tablename__ = "host"
        a: Mapped[int] = mapped_column(primary_key=True)
        b: Mapped[int] = mapped_column(primary_key=True)
        c: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Any]] = relationship(Member)
        member_count: Mapped[int] = iq.computed(iq.Count("members"))

    Base.metadata.create_all(engine)
    system = iq.System(sessionmaker(engine), base=Base)
    with system.session_factory.begin() as session:
        session.add_all([Host(a=1, b=2, c=3, members=[Member(), Member()]), Host(a=1, b=2, c=4)])
    assert system.check()
    system.repair()
    with system.session_factory() as session:
        assert session.get_one(Host, (1, 2, 3)).member_count == 2
