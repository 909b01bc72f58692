"""Relations of those that can be related only once: a new one ends the old one."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

from interaqt_sa.definitions.records import Cardinality, Entity, Property, Relation
from interaqt_sa.errors import ConstraintViolationError
from interaqt_sa.schema.compile_schema import compile_schema
from interaqt_sa.schema.schema_inspection import Schema
from interaqt_sa.storage import Storage

KINDS: list[tuple[Cardinality, bool]] = [("1:1", False), ("1:1", True), ("1:n", False), ("1:n", True)]


def people(engine: Engine, kind: Cardinality, properties: bool) -> Storage:
    """Return a storage with the users 1 and 2, the first of whom has the page 1, the second the page 2."""
    relation = Relation(
        source="User",
        source_property="page",
        target="Page",
        target_property="user",
        type=kind,
        properties=[Property("note", str)] if properties else [],
    )
    schema = compile_schema(
        MetaData(), entities=[Entity("User", [Property("name", str)]), Entity("Page", [])], relations=[relation]
    )
    schema.metadata.create_all(engine)
    storage = Storage(sessionmaker(engine), schema)
    for number in (1, 2):
        storage.create("User", {"id": number, "page": given(kind, {})})
    return storage


def given(kind: Cardinality, *pages: dict[str, Any]) -> Any:
    return pages[0] if kind == "1:1" else list(pages)


def pages(storage: Storage) -> dict[int, Any]:
    """Return the keys of each user's pages, and make sure that both directions agree."""
    found: dict[int, Any] = {}
    for user in storage.find("User", attribute_query=["page.id"]):
        page = user["page"]
        found[user["id"]] = sorted(part["id"] for part in ([page] if isinstance(page, dict) else page or []))
    back = {page["id"]: page["user"] for page in storage.find("Page", attribute_query=["user.id"])}
    assert {page: [user["id"]] for page, user in back.items() if user} == {
        page: [user for user, keys in found.items() if page in keys] for keys in found.values() for page in keys
    }
    return found


@pytest.mark.parametrize(("kind", "properties"), KINDS)
def test_a_target_that_is_taken_changes_its_source(engine: Engine, kind: Cardinality, properties: bool) -> None:
    storage = people(engine, kind, properties)
    storage.update("User", {"id": 2}, {"page": given(kind, {"id": 1})})
    assert pages(storage) == {1: [], 2: [1]}
    storage.update("User", {"id": 2}, {"page": given(kind, {"id": "1"})})
    assert pages(storage) == {1: [], 2: [1]}
    storage.create("User", {"id": 3, "name": "c", "page": given(kind, {"id": 1})})
    assert pages(storage) == {1: [], 2: [], 3: [1]}
    storage.update("User", {"id": ("in", [1, 2])}, {"page": given(kind, {"id": 1})})
    assert pages(storage) == {1: [], 2: [1], 3: []}


@pytest.mark.parametrize(("kind", "properties"), KINDS)
def test_the_same_from_the_side_of_the_target(engine: Engine, kind: Cardinality, properties: bool) -> None:
    storage = people(engine, kind, properties)
    storage.update("Page", {"id": 1}, {"user": {"id": 2}})
    both = kind == "1:n"
    assert pages(storage) == {1: [], 2: [1, 2] if both else [1]}
    storage.create("Page", {"id": 3, "user": {"id": 2}})
    assert pages(storage) == {1: [], 2: [1, 2, 3] if both else [3]}


@pytest.mark.parametrize("properties", [False, True])
def test_nested_data_is_followed(engine: Engine, properties: bool) -> None:
    storage = people(engine, "1:n", properties)
    storage.create("Page", {"id": 3, "user": {"id": 2}})
    storage.update("Page", {"id": 3}, {"user": {"name": "new", "page": [{"id": 1}]}})
    assert pages(storage) == {1: [], 2: [2], 3: [1, 3]}


@pytest.mark.parametrize("properties", [False, True])
def test_new_neighbours_take_the_place_of_old_ones(engine: Engine, properties: bool) -> None:
    storage = people(engine, "1:1", properties)
    storage.update("User", {"id": 1}, {"page": {}})
    storage.update("Page", {"id": 2}, {"user": {"name": "new"}})
    assert pages(storage) == {1: [3], 2: [], 3: [2]}


@pytest.mark.parametrize(("kind", "properties"), KINDS)
def test_what_a_session_knows_follows(engine: Engine, kind: Cardinality, properties: bool) -> None:
    unbound = people(engine, kind, properties)
    user, page = unbound.schema.mapped_class("User"), unbound.schema.mapped_class("Page")
    with Session(engine) as session:
        users: list[Any] = [session.get(user, number) for number in (1, 2)]
        first: Any = session.get(page, 1)
        loaded = [users[0].page, users[1].page, first.user]
        unbound.with_session(session).update("User", {"id": 2}, {"page": given(kind, {"id": 1})})
        assert loaded[2] is users[0]
        assert first.user is users[1]
        assert users[0].page in (None, [])
        assert users[1].page in (first, [first])


def test_add_relation_ends_old_rows_of_its_own(engine: Engine) -> None:
    storage = people(engine, "1:1", True)
    with pytest.raises(ConstraintViolationError):
        storage.add_relation("User_page_user_Page", 1, 1)
    storage.add_relation("User_page_user_Page", 2, 1)
    assert pages(storage) == {1: [], 2: [1]}


def test_who_cannot_do_without_stays(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)
        page: Mapped[Any] = relationship("Page", back_populates="user", uselist=False)

    class Page(Base):
        __tablename__ = "page"
        id: Mapped[int] = mapped_column(primary_key=True)
        user_id: Mapped[int] = mapped_column(ForeignKey("user.id"), unique=True)
        user: Mapped[User] = relationship(User, back_populates="page")

    Base.metadata.create_all(engine)
    storage = Storage(sessionmaker(engine), Schema.of(Base.metadata))
    storage.create(Page, {"user": {}})
    with pytest.raises(ConstraintViolationError) as caught:
        storage.create(Page, {"user": {"id": 1}})
    assert caught.value.kind == "unique"


@pytest.mark.parametrize("properties", [False, True])
def test_records_related_to_their_own_kind(engine: Engine, properties: bool) -> None:
    relation = Relation(
        source="User",
        source_property="mentor",
        target="User",
        target_property="pupil",
        type="1:1",
        properties=[Property("note", str)] if properties else [],
    )
    schema = compile_schema(MetaData(), entities=[Entity("User", [])], relations=[relation])
    schema.metadata.create_all(engine)
    storage = Storage(sessionmaker(engine), schema)
    for _ in range(3):
        storage.create("User", {})

    def mentors(user: int, data: dict[str, Any]) -> dict[int, int]:
        storage.update("User", {"id": user}, data)
        found = storage.find("User", attribute_query=["mentor.id", "pupil.id"])
        mentors = {row["id"]: row["mentor"]["id"] for row in found if row["mentor"]}
        assert {row["pupil"]["id"]: row["id"] for row in found if row["pupil"]} == mentors
        return mentors

    assert mentors(1, {"mentor": {"id": 2}}) == {1: 2}
    assert mentors(3, {"mentor": {"id": 2}}) == {3: 2}
    assert mentors(2, {"pupil": {"id": 1}}) == {1: 2}
    assert mentors(2, {"pupil": {"id": 2}}) == {2: 2}
    assert mentors(2, {"pupil": {"id": 2}}) == {2: 2}
    assert mentors(1, {"pupil": {"id": 2}}) == {2: 1}
    assert mentors(1, {"mentor": {"id": 3}}) == {1: 3, 2: 1}
    assert mentors(1, {"mentor": None, "pupil": None}) == {}
