"""Indexes by which the next member is found: created for definitions, missed in the log for declarative classes."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, Index, MetaData, String, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


def models(*indexes: Index) -> Any:
    class Base(DeclarativeBase):
        pass

    class Room(Base):
        __tablename__ = "room"
        id: Mapped[int] = mapped_column(primary_key=True)
        messages: Mapped[list[Message]] = relationship()
        first: Mapped[str | None] = iq.computed(iq.First("messages", "body", by="at"))
        latest: Mapped[int | None] = iq.computed(iq.Latest("messages", "id", by="at"))
        start: Mapped[int | None] = iq.computed(iq.Min("messages", "at"))
        largest: Mapped[int | None] = iq.computed(iq.Max("messages", "size"))
        last_body: Mapped[str | None] = iq.computed(iq.Max("messages", "body"))
        rate: Mapped[int | None] = iq.computed(iq.Max("messages", "author.rate"))

    class Author(Base):
        __tablename__ = "author"
        id: Mapped[int] = mapped_column(primary_key=True)
        rate: Mapped[int]

    class Message(Base):
        __tablename__ = "message"
        __table_args__ = indexes
        id: Mapped[int] = mapped_column(primary_key=True)
        room_id: Mapped[int] = mapped_column(ForeignKey("room.id"), index=True)
        author_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"), index=True)
        author: Mapped[Author | None] = relationship()
        at: Mapped[int]
        size: Mapped[int]
        body: Mapped[str]

    Base.kept = [Room, Author, Message]  # type: ignore[attr-defined]  # registries hold classes weakly
    return Base


def told(engine: Engine, base: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    base.metadata.create_all(engine)
    with caplog.at_level(logging.WARNING, "interaqt_sa"):
        iq.System(engine, base=base).verify()
    return list(caplog.messages)


def test_members_without_an_index_in_their_order(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    messages = told(engine, models(), caplog)
    assert len(messages) == 2, messages
    at, size = sorted(messages)
    assert at.startswith("message has no index on room_id, at, id: whenever")
    assert "Room.first or Room.latest or Room.start" in at
    assert "all members of its host are read" in at
    assert "Index(…, 'room_id', 'at', 'id')" in at
    assert size.startswith("message has no index on room_id, size: ")
    assert "Room.largest" in size


def test_the_primary_key_may_be_missing_but_not_the_order(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    indexes = Index("ix_at", "room_id", "at"), Index("ix_size", "size", "room_id")
    (size,) = told(engine, models(*indexes), caplog)
    assert size.startswith("message has no index on room_id, size: ")


def test_a_partial_index_does_not_count(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    positive = text("size > 0")
    partial = Index("ix_size", "room_id", "size", postgresql_where=positive, sqlite_where=positive)
    assert len(told(engine, models(Index("ix_at", "room_id", "at", "id"), partial), caplog)) == 1


def shop(*items: Any, **properties: Any) -> MetaData:
    """Return the tables of definitions: a shop with items, and dictionaries over all items."""
    metadata = MetaData()
    item = iq.Entity(
        "Item",
        [
            iq.Property("price", Decimal),
            iq.Property("at", int),
            iq.Property("name", str),
            iq.Property("code", String(9)),
        ],
        table_args=items,
    )
    values = [iq.Property(name, type_, computation=made) for name, (type_, made) in properties.items()]
    place = iq.Entity("Place", [iq.Property("title", str), *values])
    stocked = iq.Relation(source=place, source_property="items", target=item, target_property="place", type="1:n")
    dictionaries = [iq.Dictionary("cheapest", Decimal, computation=iq.Min("Item", "price"))]
    iq.compile_schema(metadata, entities=[item, place], relations=[stocked], dictionaries=dictionaries)
    return metadata


VALUES: dict[str, Any] = {
    "latest": (str, iq.Latest("items", "name", by="at")),
    "dearest": (Decimal, iq.Max("items", "price")),
    "last_name": (str, iq.Max("items", "name")),
    "last_code": (String(9), iq.Max("items", "code")),
}


def test_tables_of_definitions_have_the_indexes(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    metadata = shop(**VALUES)
    metadata.create_all(engine)
    with caplog.at_level(logging.WARNING, "interaqt_sa"):
        iq.System(engine, base=metadata).verify()
    assert caplog.messages == []
    found = {tuple(index["column_names"]) for index in inspect(engine).get_indexes("item")}
    wanted = {("place_id",), ("place_id", "at", "id"), ("place_id", "price"), ("place_id", "code"), ("price",)}
    assert found == wanted, "a text of any length is not indexed, because PostgreSQL would refuse a long one"


def test_an_index_of_the_application_serves(engine: Engine) -> None:
    metadata = shop(Index("ix_mine", "place_id", "at"), Index("ix_price", "price"), **VALUES)
    metadata.create_all(engine)
    found = {tuple(index["column_names"]) for index in inspect(engine).get_indexes("item")}
    assert found == {("place_id",), ("place_id", "at"), ("place_id", "price"), ("place_id", "code"), ("price",)}


def test_a_partial_index_of_the_application_has_the_usual_name(engine: Engine) -> None:
    cheap = text("price < 9")
    metadata = shop(Index("ix_item_price", "price", postgresql_where=cheap, sqlite_where=cheap))
    metadata.create_all(engine)
    found = {index["name"] for index in inspect(engine).get_indexes("item")}
    assert found == {"ix_item_place_id", "ix_item_price", "ix_item__price"}


def test_a_record_without_such_values_has_no_more_indexes(engine: Engine) -> None:
    metadata = shop(n=(int, iq.Count("items")))
    metadata.create_all(engine)
    assert {tuple(i["column_names"]) for i in inspect(engine).get_indexes("item")} == {("place_id",), ("price",)}
