"""First and Latest over members of other forms: trees, inheritance, odd keys and types, tables created one by one."""

from __future__ import annotations

from datetime import date, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    Dialect,
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    TypeDecorator,
    delete,
    insert,
    update,
)
from sqlalchemy import Enum as EnumType
from sqlalchemy.exc import CompileError
from sqlalchemy.orm import DeclarativeBase, Mapped, backref, mapped_column, relationship
from sqlalchemy.schema import CreateTable

import interaqt_sa as iq
from tests.declarative.kept import Keep
from tests.support.statements import count_statements


class Level(Enum):
    first = 1
    second = 2


class Negated(TypeDecorator[int]):
    """A number that is stored with the other sign, so that the database orders values the other way round."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else -value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else -value


def test_trees(keep: Keep) -> None:
    class Own(DeclarativeBase):
        pass

    class Node(Own):
        __tablename__ = "node"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"), index=True)
        name: Mapped[str]
        children: Mapped[list[Node]] = relationship(backref=backref("parent", remote_side=[id]))
        first: Mapped[str | None] = iq.computed(iq.First("children", "name", by="name"))
        depth: Mapped[int] = iq.computed(lambda node: 0 if node.deepest is None else node.deepest + 1)
        deepest: Mapped[int | None] = iq.computed(iq.Latest("children", "depth", by="depth"))

    kept = keep(Own)
    with kept.begin() as session:
        session.add(Node(id=1, name="a", children=[Node(id=2, name="c"), Node(id=3, name="b")]))
    with kept.begin() as session:
        session.add(Node(id=4, name="d", parent_id=2))
    columns = Node.id, Node.first, Node.depth
    assert kept.stored(*columns) == [(1, "b", 2), (2, "d", 1), (3, None, 0), (4, None, 0)]
    kept.run(update(Node).where(Node.id == 4).values(parent_id=3, name="0"))
    assert kept.stored(*columns) == [(1, "b", 2), (2, None, 0), (3, "0", 1), (4, None, 0)]
    kept.run(delete(Node).where(Node.id == 4))
    assert kept.stored(*columns) == [(1, "b", 1), (2, None, 0), (3, None, 0)]


def test_joined_and_single_table_inheritance(keep: Keep) -> None:
    class Own(DeclarativeBase):
        pass

    class Zoo(Own):
        __tablename__ = "zoo"
        id: Mapped[int] = mapped_column(primary_key=True)
        animals: Mapped[list[Animal]] = relationship(back_populates="zoo")
        birds: Mapped[list[Bird]] = relationship(viewonly=False, overlaps="animals,zoo")
        cats: Mapped[list[Cat]] = relationship(viewonly=False, overlaps="animals,zoo,birds")
        oldest: Mapped[str | None] = iq.computed(iq.Latest("animals", "name", by="age"))
        widest: Mapped[str | None] = iq.computed(iq.Latest("birds", "name", by="span"))
        span: Mapped[int | None] = iq.computed(iq.First("birds", "span", by="age"))
        loudest: Mapped[str | None] = iq.computed(iq.Latest("cats", "name", by="noise"))

    class Animal(Own):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str]
        age: Mapped[int]
        zoo_id: Mapped[int | None] = mapped_column(ForeignKey("zoo.id"), index=True)
        zoo: Mapped[Zoo | None] = relationship(back_populates="animals", overlaps="birds,cats")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Bird(Animal):
        __tablename__ = "bird"
        id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
        span: Mapped[int]
        __mapper_args__ = {"polymorphic_identity": "bird"}

    class Cat(Animal):
        noise: Mapped[int | None]
        __mapper_args__ = {"polymorphic_identity": "cat"}

    kept = keep(Own)
    columns = Zoo.id, Zoo.oldest, Zoo.widest, Zoo.span, Zoo.loudest
    with kept.begin() as session:
        session.add(Zoo(id=1))
        session.add_all(Bird(id=n, name=f"bird {n}", age=n, span=10 - n, zoo_id=1) for n in (1, 2, 3))
        session.add_all(Cat(id=n, name=f"cat {n}", age=n, noise=n, zoo_id=1) for n in (4, 5))
    assert kept.stored(*columns) == [(1, "cat 5", "bird 1", 9, "cat 5")]
    with kept.begin() as session:
        session.delete(session.get_one(Bird, 1))
        session.get_one(Cat, 5).noise = 0
        session.get_one(Bird, 3).age = 99
    assert kept.stored(*columns) == [(1, "bird 3", "bird 2", 8, "cat 4")]


def test_keys_and_types_that_are_converted(keep: Keep) -> None:
    class Own(DeclarativeBase):
        pass

    class Host(Own):
        __tablename__ = "host"
        a: Mapped[int] = mapped_column(primary_key=True)
        b: Mapped[str] = mapped_column(primary_key=True)
        parts: Mapped[list[Part]] = relationship()
        first: Mapped[UUID | None] = iq.computed(iq.First("parts", "id", by="weight"))
        level: Mapped[Level | None] = iq.computed(
            iq.Latest("parts", "level", by="level"), EnumType(Level, name="part_level")
        )
        took: Mapped[timedelta | None] = iq.computed(iq.First("parts", "took", by="day"))
        weight: Mapped[int | None] = iq.computed(iq.Latest("parts", "weight", by="took"), Negated)

    class Part(Own):
        __tablename__ = "part"
        __table_args__ = (ForeignKeyConstraint(["host_a", "host_b"], ["host.a", "host.b"]),)
        id: Mapped[UUID] = mapped_column(primary_key=True)
        host_a: Mapped[int | None]
        host_b: Mapped[str | None]
        weight: Mapped[int | None] = mapped_column(Negated)
        level: Mapped[Level | None] = mapped_column(EnumType(Level, name="part_level"))
        took: Mapped[timedelta | None]
        day: Mapped[date | None]

    kept = keep(Own)
    values = [
        {"weight": 5, "level": Level.first, "took": timedelta(days=2), "day": date(2020, 1, 2)},
        {"weight": 7, "level": Level.second, "took": timedelta(hours=1), "day": date(2020, 1, 1)},
        {"weight": 7, "level": None, "took": timedelta(hours=3), "day": None},
    ]
    kept.run(insert(Host), [{"a": 1, "b": "x"}])
    kept.run(insert(Part), [{"id": UUID(int=n), "host_a": 1, "host_b": "x", **row} for n, row in enumerate(values)])
    columns = Host.a, Host.first, Host.level, Host.took, Host.weight
    # stored as -7, a greater weight comes first
    assert kept.stored(*columns) == [(1, UUID(int=1), Level.second, timedelta(hours=1), 5)]
    kept.run(delete(Part).where(Part.id == UUID(int=1)))
    assert kept.stored(*columns) == [(1, UUID(int=2), Level.first, timedelta(days=2), 5)]
    kept.run(update(Part).values(host_a=None))
    assert kept.stored(*columns) == [(1, None, None, None, None)]


def test_a_changed_key_of_a_leader(keep: Keep) -> None:
    class Own(DeclarativeBase):
        pass

    class Box(Own):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        first: Mapped[str | None] = iq.computed(iq.First("items", "name", by="n"))

    class Item(Own):
        __tablename__ = "item"
        code: Mapped[str] = mapped_column(String(9), primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
        n: Mapped[int]
        name: Mapped[str]

    kept = keep(Own)
    with kept.begin() as session:
        session.add(Box(id=1, items=[Item(code=c, n=1, name=f"was {c}") for c in "abc"]))
    assert kept.stored(Box.id, Box.first) == [(1, "was a")]
    with kept.begin() as session:
        session.get_one(Item, "a").code = "z"
    assert kept.stored(Box.id, Box.first) == [(1, "was b")]
    with kept.begin() as session:
        session.get_one(Item, "c").code = "0"
    assert kept.stored(Box.id, Box.first) == [(1, "was c")]


def _late(metadata: MetaData, *, with_member: bool) -> Any:
    class Own(DeclarativeBase):
        pass

    Own.metadata = metadata

    class Host(Own):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Any]] = relationship("Member")
        first: Mapped[int | None] = iq.computed(iq.First("members", "n", by="day"))

    kept = [Host]
    if with_member:

        class Member(Own):
            __tablename__ = "member"
            id: Mapped[int] = mapped_column(primary_key=True)
            host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
            n: Mapped[int]
            day: Mapped[date]

        kept.append(Member)  # type: ignore[arg-type]
    Own.kept = kept  # type: ignore[attr-defined]
    return Own


def test_one_table_is_created(engine: Engine) -> None:
    metadata = MetaData()
    base = _late(metadata, with_member=True)
    metadata.tables["host"].create(engine)
    assert [str(c.type) for c in metadata.tables["host"].c if c.name.startswith("_")] == ["DATE", "INTEGER"]
    metadata.tables["member"].create(engine)
    iq.System(engine, base=base).verify()


def test_a_table_is_created_before_the_class_of_its_members_exists(engine: Engine) -> None:
    metadata = MetaData()
    base = _late(metadata, with_member=False)
    with pytest.raises(CompileError, match=r"the type of 'day' of the members.*import all modules of models"):
        metadata.create_all(engine)
    assert base.kept
    assert "_first__by" in metadata.tables["host"].c
    with pytest.raises(CompileError, match="import all modules"):
        str(CreateTable(metadata.tables["host"]))


def test_a_column_of_the_application_has_the_name_of_a_hidden_one() -> None:
    class Own(DeclarativeBase):
        pass

    class Host(Own):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Member]] = relationship()
        key = Column("_first__key", Integer)
        first: Mapped[int | None] = iq.computed(iq.First("members", "id", by="id"))

    class Member(Own):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))

    from interaqt_sa.engine.plan import plan_of

    with pytest.raises(iq.DefinitionError) as caught:
        plan_of(Own.metadata)
    assert "First keeps its state in a column '_first__key'" in str(caught.value.exceptions[0])


@pytest.mark.parametrize("kind", ["First", "Min"])
def test_the_statements_of_a_write(keep: Keep, kind: str) -> None:
    """First needs as many statements as Min."""

    class Own(DeclarativeBase):
        pass

    made = iq.First("items", "n", by="n") if kind == "First" else iq.Min("items", "n")

    class Box(Own):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list[Item]] = relationship()
        first: Mapped[int | None] = iq.computed(made)

    class Item(Own):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)
        n: Mapped[int]

    kept = keep(Own)
    kept.run(insert(Box), [{"id": 1}])
    kept.run(insert(Item), [{"id": n, "box_id": 1, "n": n} for n in range(10)])
    kept.run(delete(Item).where(Item.id == 9))
    counts: dict[str, int] = {}
    writes: dict[str, Any] = {
        "a new member": insert(Item).values(id=20, box_id=1, n=50),
        "a new leader": insert(Item).values(id=21, box_id=1, n=-5),
        "another leaves": delete(Item).where(Item.id == 8),
        "the leader leaves": delete(Item).where(Item.id == 21),
        "another changes": update(Item).where(Item.id == 7).values(n=70),
        "the leader changes": update(Item).where(Item.id == 0).values(n=80),
    }
    for name, write in writes.items():
        with count_statements(kept.engine) as seen:
            kept.run(write)
        counts[name] = len(seen)
    assert kept.stored(Box.id, Box.first) == [(1, 1)]
    # on PostgreSQL also two locks: of the members that are written, and of the host
    changed = 5 if kept.engine.dialect.name == "sqlite" else 7
    assert counts == {name: 3 if name.startswith("a new") else changed for name in writes}
