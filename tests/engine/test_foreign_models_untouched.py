"""Importing the package changes nothing about models that declare nothing: no info, no failing mapping, no warning."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, MetaData, String, Table, UniqueConstraint
from sqlalchemy.ext.declarative import AbstractConcreteBase, ConcreteBase
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column, registry, relationship

import interaqt_sa as iq
from interaqt_sa.engine.plan import plan_of
from tests.engine.conftest import MakeSystem


def test_nothing_has_an_info_that_gave_none(make_system: MakeSystem) -> None:
    class Base(DeclarativeBase):
        pass

    class Thing(Base):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(9), CheckConstraint("name <> ''"), unique=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("thing.id"))
        children: Mapped[list[Thing]] = relationship()
        __table_args__ = (UniqueConstraint("id", "name"),)

    table: Any = Thing.__table__
    items: list[Any] = [table, *table.columns, *table.constraints, *table.indexes]
    assert not [item for item in items if "info" in item.__dict__]

    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Thing(name="a"))
    assert system.check().ok
    # SQLAlchemy's own extensions, once in use, make an empty one of each column that they look at
    assert not [item for item in items if item.__dict__.get("info")]


def test_dictionaries_of_the_application_are_not_written_into() -> None:
    shared: dict[Any, Any] = {"label": "x"}
    metadata, other = MetaData(info=shared), MetaData(info=shared)

    class Base(DeclarativeBase):
        pass

    Base.metadata = metadata

    class Box(Base):
        __tablename__ = "box"
        __table_args__ = {"info": shared}
        id: Mapped[int] = mapped_column(primary_key=True, info=shared)
        size: Mapped[int] = mapped_column(info=shared)
        double: Mapped[int] = iq.computed(lambda box: box.size * 2, info=shared)
        triple: Mapped[int] = iq.computed(lambda box: box.size * 3, info=shared)

    registry(metadata=other).map_imperatively(
        type("Other", (), {}), Table("other", other, Column("id", Integer, primary_key=True, info=shared))
    )
    assert shared == {"label": "x"}
    assert set(plan_of(metadata).computed) == {"Box.double", "Box.triple"}
    assert not plan_of(other).computed
    table: Any = Box.__table__
    assert table.c.size.info == table.info == shared
    assert {**table.c.double.info, **shared} == table.c.double.info


@pytest.mark.parametrize("strict", [True, False])
def test_abstract_concrete_classes_can_be_mapped(make_system: MakeSystem, strict: bool) -> None:
    class Base(DeclarativeBase):
        pass

    class Employee(AbstractConcreteBase, Base):
        strict_attrs = strict
        name: Mapped[str] = mapped_column(String(50))

    class Manager(Employee):
        __tablename__ = "manager"
        id: Mapped[int] = mapped_column(primary_key=True)
        data: Mapped[str] = mapped_column(String(40))
        __mapper_args__ = {"polymorphic_identity": "manager", "concrete": True}

    class Engineer(Employee):
        __tablename__ = "engineer"
        id: Mapped[int] = mapped_column(primary_key=True)
        __mapper_args__ = {"polymorphic_identity": "engineer", "concrete": True}

    configure_mappers()
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Manager(name="m", data="d"), Engineer(name="e")])
    with system.session_factory() as session:
        shown = {(type(row).__name__, row.name) for row in session.query(Employee)}
        assert shown == {("Manager", "m"), ("Engineer", "e")}
        session.rollback()
    assert system.check().ok


def test_concrete_classes_can_be_mapped(make_system: MakeSystem) -> None:
    class Base(DeclarativeBase):
        pass

    class Place(ConcreteBase, Base):
        __tablename__ = "place"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "place", "concrete": True}

    class Harbour(Place):
        __tablename__ = "harbour"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        __mapper_args__ = {"polymorphic_identity": "harbour", "concrete": True}

    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Place(id=1, name="inland"), Harbour(id=1, name="sea")])
    with system.session_factory() as session:
        assert [(type(row).__name__, row.name) for row in session.query(Place).order_by(Place.name)] == [
            ("Place", "inland"),
            ("Harbour", "sea"),
        ]
        session.rollback()
    assert system.check().ok


@pytest.mark.parametrize("beside", [True, False], ids=["beside computed values", "in another MetaData"])
def test_tables_that_refer_to_each_other_cause_no_warning(make_system: MakeSystem, beside: bool) -> None:
    class Base(DeclarativeBase):
        pass

    class Other(DeclarativeBase):
        pass

    class Parent(Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list[Child]] = relationship()
        number: Mapped[int] = iq.computed(iq.Count("children"))

    class Child(Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))

    base: Any = Base if beside else Other

    class A(base):
        __tablename__ = "a"
        id: Mapped[int] = mapped_column(primary_key=True)
        b_id: Mapped[int | None] = mapped_column(ForeignKey("b.id", name="a_b", use_alter=True))

    class B(base):
        __tablename__ = "b"
        id: Mapped[int] = mapped_column(primary_key=True)
        a_id: Mapped[int | None] = mapped_column(ForeignKey("a.id", name="b_a", use_alter=True))

    system = make_system(Base)
    if not beside:
        with system.session_factory() as session:
            Other.metadata.create_all(session.get_bind())
    with system.session_factory.begin() as session:
        session.add_all([A(id=1), Parent(children=[Child()])])
        session.flush()
        session.add(B(id=1, a_id=1))
    assert system.check().ok
