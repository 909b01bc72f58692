"""A compilation that fails leaves the MetaData, and the application's classes, as they were."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, Table, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import (
    Controller,
    DefinitionError,
    Entity,
    EventSource,
    Property,
    RecordMutationSideEffect,
    Relation,
    System,
    compile_schema,
)
from interaqt_sa.schema.metadata_state import Catalog


def rel(source: Any, one: str, target: Any, other: str, type: Any = "n:1", **kw: Any) -> Relation:
    return Relation(source=source, source_property=one, target=target, target_property=other, type=type, **kw)


def models() -> tuple[type[DeclarativeBase], dict[str, Any]]:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__: Any = {"polymorphic_on": "kind"}

    class Boss(User):
        __mapper_args__: Any = {"polymorphic_identity": "boss"}

    class Clerk(User):
        __mapper_args__: Any = {"polymorphic_identity": "clerk"}

    class Letter(Base):
        __tablename__ = "letter"
        id: Mapped[int] = mapped_column(primary_key=True)
        sender_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
        seen: Mapped[list[Any]] = relationship("Stamp", back_populates="letter")

    class Stamp(Base):
        __tablename__ = "stamp"
        id: Mapped[int] = mapped_column(primary_key=True)
        letter_id: Mapped[int] = mapped_column(ForeignKey("letter.id"))
        letter: Mapped[Letter] = relationship(back_populates="seen")

    Letter.neighbour = Stamp  # type: ignore[attr-defined]  # a base holds its classes only weakly

    class Manager(User):
        __tablename__ = "manager"
        id: Mapped[int] = mapped_column(ForeignKey("user.id"), primary_key=True)
        __mapper_args__: Any = {"polymorphic_identity": "manager"}

    return Base, {"User": User, "Boss": Boss, "Clerk": Clerk, "Letter": Letter, "Manager": Manager}


def state_of(base: type[DeclarativeBase]) -> Any:
    columns = {name: list(table.columns.keys()) for name, table in base.metadata.tables.items()}
    attributes = {mapper.class_: set(mapper._props) for mapper in base.registry.mappers}
    catalog = Catalog.of(base.metadata)
    return columns, attributes, dict(catalog.definitions), set(base.metadata._sequences), set(catalog.event_sources)


A, B = Entity("A", [Property("n", int)]), Entity("B", [Property("n", int)])


def shaped(*table_args: Any) -> Entity:
    return Entity("E", [Property("n", int)], table_args=table_args)


@pytest.mark.parametrize(
    ("entities", "relations", "fault"),
    [
        ([A, shaped(Index("i", "nope"))], [], "E: SQLAlchemy refuses the table: "),
        ([A, shaped(3)], [], "E: SQLAlchemy refuses the table: "),
        ([A, shaped(Column("n", Integer))], [], "E: SQLAlchemy refuses the table: "),
        ([A, shaped({"nonsense": 1})], [], "look at table_args= and constraints="),
        (
            [A, B],
            [rel("A", "x", "B", "y", "n:n", properties=[Property("sourceId", int)])],
            "A_x_y_B.sourceId: the table has a column 'source_id' by itself",
        ),
        (
            [A, B],
            [rel("A", "x", "B", "y", "n:n", properties=[Property("t", int, column_name="target_id")])],
            "A_x_y_B.t: the table has a column 'target_id' by itself",
        ),
        ([A], [rel("User", "bossMan", "A", "x"), rel("User", "boss_man", "A", "y")], "User has a column 'boss_man_id'"),
        ([A, B], [rel("Boss", "task", "A", "bs"), rel("Clerk", "task", "B", "cs")], "Clerk has a column 'task_id'"),
        (
            [A, B],
            [rel("L", "source", "A", "q"), rel("A", "bs", "B", "as_", "n:n", name="L")],
            "L.source: relation 'L_source_q_A' needs this name, but it is taken",
        ),
        (
            [A],
            [rel("Letter", "seen", "A", "letter")],
            "Letter.seen is a relationship of the class, but not one to one",
        ),
        (
            [],
            [rel("Stamp", "letter", "Letter", "seen", "1:1")],
            "Letter.seen is a relationship of the class, but not one to one Stamp",
        ),
        (
            [Entity("Order"), Entity("OrderItem"), A],
            [rel("OrderItem", "x", "A", "p"), rel("Order", "item_x", "A", "q")],
            "its index 'ix_order_item_x_id' has the same name as one of table 'order'",
        ),
    ],
)
def test_a_compilation(entities: list[Any], relations: list[Any], fault: str) -> None:
    base, _ = models()
    before = state_of(base)
    with pytest.raises(DefinitionError) as caught:
        compile_schema(base, entities=entities, relations=relations)
    assert fault in str(caught.value)
    assert state_of(base) == before
    base.registry.configure()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"event_sources": [EventSource("e", Entity("Ev")), EventSource("e", Entity("Ev"))]}, "'e' is given twice"),
        ({"event_sources": [EventSource("e", "Nothing")]}, "entity of 'e': there is no record 'Nothing'"),
        ({"event_sources": [A]}, "is not an EventSource"),
        ({"event_sources": [EventSource("e", Entity("Ev"), guard=3)]}, "guard of 'e' is 3, which is not a function"),  # type: ignore[arg-type]
        ({"record_mutation_side_effects": ["mail"]}, "'mail' is not a RecordMutationSideEffect"),
        (
            {"record_mutation_side_effects": [RecordMutationSideEffect("mail", "Nothing", lambda *_: None)]},
            "side effect 'mail': there is no record 'Nothing'",
        ),
    ],
)
def test_a_controller(given: dict[str, Iterable[Any]], fault: str) -> None:
    base, _ = models()
    before = state_of(base)
    system = System(create_engine("sqlite://"), base=base)
    with pytest.raises(DefinitionError) as caught:
        Controller(system, entities=[A], **given)  # type: ignore[arg-type]
    assert fault in str(caught.value)
    assert state_of(base) == before
    Controller(system, entities=[Entity("A", [Property("other", str)])])


def test_keys_of_others_are_not_adopted() -> None:
    base, classes = models()
    mentor = rel(classes["Manager"], "mentor", "User", "mentees")
    reader, sender = rel("Letter", "reader", "User", "read"), rel("Letter", "sender", "User", "sent")
    compile_schema(base, relations=[mentor, reader, sender])
    base.registry.configure()
    tables: dict[str, Table] = dict(base.metadata.tables)
    assert list(tables["manager"].columns.keys()) == ["id", "mentor_id"]
    assert list(tables["letter"].columns.keys()) == ["id", "sender_id", "reader_id"]
    letter = classes["Letter"].__mapper__.relationships
    assert {name: letter[name].local_columns for name in ("reader", "sender")} == {
        "reader": {tables["letter"].c.reader_id},
        "sender": {tables["letter"].c.sender_id},
    }


def test_a_definition_leaves_no_sequence_behind() -> None:
    metadata = MetaData()
    with pytest.raises(DefinitionError):
        compile_schema(metadata, entities=[A, shaped(3)])
    assert not metadata.tables
    assert not metadata._sequences
