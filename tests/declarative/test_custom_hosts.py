"""Custom on rows of all sorts: trees, joined and single-table inheritance, symmetric relations, other keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import ForeignKey, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept


def custom(query: list[Any], compute: Callable[[Any], Any]) -> iq.Custom[Any]:
    def called(_: iq.ComputationContext, deps: Any, record: Any) -> Any:
        assert deps["own"] is record
        return compute(record)

    return iq.Custom(
        "value",
        data_deps={"own": {"type": "property", "attribute_query": query}},
        compute=called,
        concurrency="locked",
    )


class Base(DeclarativeBase):
    pass


class Node(Base):
    __tablename__ = "node"

    id: Mapped[int] = mapped_column(primary_key=True)
    size: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"), index=True)
    children: Mapped[list[Node]] = relationship()
    total: Mapped[int] = iq.computed(
        custom(["size", ("children", ["total"])], lambda node: node.size + sum(n.total for n in node.children))
    )


class Animal(Base):
    __tablename__ = "animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]


class Dog(Animal):
    __tablename__ = "dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}

    id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
    bark: Mapped[str]
    toys: Mapped[list[Toy]] = relationship()
    text: Mapped[str | None] = iq.computed(
        custom(
            ["name", "bark", ("toys", ["name"])], lambda dog: dog.name + dog.bark + "".join(t.name for t in dog.toys)
        )
    )


class Cat(Animal):
    __mapper_args__ = {"polymorphic_identity": "cat"}

    lives: Mapped[int | None]
    about: Mapped[str | None] = iq.computed(custom(["name", "lives"], lambda cat: f"{cat.name} {cat.lives}"))


class Toy(Base):
    __tablename__ = "toy"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    dog_id: Mapped[int] = mapped_column(ForeignKey("dog.id"), index=True)


class Country(Base):
    __tablename__ = "country"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    cities: Mapped[list[City]] = relationship(primaryjoin="foreign(City.code) == Country.code")
    names: Mapped[str | None] = iq.computed(
        custom(["code", ("cities", ["name"])], lambda country: "+".join(city.name for city in country.cities))
    )


class City(Base):
    __tablename__ = "city"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str | None] = mapped_column(index=True)
    name: Mapped[str]


PERSON = iq.Entity(
    "Person",
    [
        iq.Property("name", "string"),
        iq.Property(
            "friends_names",
            "string",
            computation=custom(
                [("friends", ["name"])], lambda person: "+".join(sorted(f.name for f in person.friends))
            ),
        ),
    ],
)
FRIENDS = iq.Relation(
    source="Person",
    source_property="friends",
    target="Person",
    target_property="friends",
    type="n:n",
    name="Friendship",
    properties=[iq.Property("since", "number")],
)
iq.compile_schema(Base, entities=[PERSON], relations=[FRIENDS])


@pytest.fixture
def kept(keep: Keep) -> Kept:
    return keep(Base)


def test_trees(kept: Kept) -> None:
    with kept.begin() as session:
        session.add(
            Node(id=1, size=1, children=[Node(id=2, size=2, children=[Node(id=3, size=3)]), Node(id=4, size=4)])
        )
    assert kept.stored(Node.id, Node.total) == [(1, 10), (2, 5), (3, 3), (4, 4)]
    kept.run(update(Node).where(Node.id == 3).values(parent_id=4, size=10))
    assert kept.stored(Node.id, Node.total) == [(1, 17), (2, 2), (3, 10), (4, 14)]
    chain = [{"id": 100 + n, "size": 1, "parent_id": 99 + n if n else 1} for n in range(150)]
    kept.run(insert(Node), chain)
    kept.run(update(Node).values(size=Node.size + 1))
    assert kept.stored(Node.id, Node.total)[0] == (1, 17 + 150 + 154)
    with kept.sessions() as session:
        session.get_one(Node, 1).parent_id = 3
        with pytest.raises(iq.ComputationError, match="its own ancestor"):
            session.flush()


def test_subclasses(kept: Kept) -> None:
    with kept.begin() as session:
        session.add(Dog(id=1, name="d", bark="w", toys=[Toy(name="x")]))
        session.add_all([Cat(id=2, name="c", lives=9), Animal(id=3, name="z")])
    kept.run(update(Animal).values(name=Animal.name + "!"))
    with kept.begin() as session:
        session.get_one(Toy, 1).name = "y"
        session.get_one(Cat, 2).lives = 8
        session.flush()
        assert (session.get_one(Dog, 1).text, session.get_one(Cat, 2).about) == ("d!wy", "c! 8")
    table = Animal.__table__
    assert kept.stored(table.c.id, table.c.about) == [(1, None), (2, "c! 8"), (3, None)]


def test_members_that_refer_by_a_code(kept: Kept) -> None:
    with kept.begin() as session:
        session.add(City(id=1, code="de", name="b"))
        session.flush()
        session.add(Country(id=1, code="de"))
        session.flush()
        country = session.get_one(Country, 1)
        assert country.names == "b"
        country.code = "fr"
        session.flush()
        assert country.names == ""
        session.get_one(City, 1).code = "fr"
        session.flush()
        assert country.names == "b"
    kept.verify()


def test_symmetric_relations(kept: Kept) -> None:
    storage = kept.system.storage
    a, b, c = (storage.create("Person", {"name": name})["id"] for name in "abc")

    def names() -> list[Any]:
        kept.verify()
        found = storage.find("Person", attribute_query=["friends_names"], order_by={"id": "asc"})
        return [person["friends_names"] for person in found]

    storage.add_relation("Friendship", a, b)
    storage.add_relation("Friendship", c, a)
    assert names() == ["b+c", "a", "a"]
    storage.update("Person", {"id": b}, {"name": "bb"})
    assert names() == ["bb+c", "a", "a"]
    storage.delete("Person", {"id": c})
    assert names() == ["bb", "a"]


async def test_asynchronous_sessions(async_engine: Any) -> None:
    from sqlalchemy.ext.asyncio import async_sessionmaker

    sessions = async_sessionmaker(async_engine)
    system = iq.AsyncSystem(sessions, base=Base)
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with sessions.begin() as session:
        session.add(Node(id=1, size=1, children=[Node(id=2, size=2)]))
    async with sessions.begin() as session:
        await session.execute(update(Node).where(Node.id == 2).values(size=5))
        assert await session.scalar(select(Node.total).where(Node.id == 1)) == 6
    assert await system.check()
