"""Indexes in the order of members, and hidden columns with the types of members, are migrated with the values."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from sqlalchemy import Enum, ForeignKey, MetaData, inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.environment import Environment


def rooms(*values: iq.Property) -> Any:
    message = iq.Entity("Message", [iq.Property("body", str), iq.Property("at", int)])
    room = iq.Entity("Room", [iq.Property("name", str), *values])
    sent = iq.Relation(source=room, source_property="messages", target=message, target_property="room", type="1:n")
    metadata = MetaData()
    iq.compile_schema(metadata, entities=[room, message], relations=[sent])
    return metadata


def indexes(environment: Environment) -> set[tuple[str | None, ...]]:
    return {tuple(index["column_names"]) for index in inspect(environment.engine).get_indexes("message")}


def test_with_the_first_and_the_last_value(environment: Environment) -> None:
    latest = iq.Property("latest", str, computation=iq.Latest("messages", "body", by="at"))
    start = iq.Property("start", int, computation=iq.Min("messages", "at"))
    environment.migrate(rooms())
    assert indexes(environment) == {("room_id",)}
    environment.migrate(rooms(start, latest))
    assert indexes(environment) == {("room_id",), ("room_id", "at", "id")}
    environment.check()
    environment.migrate(rooms(start))
    assert ("room_id", "at") in {found[:2] for found in indexes(environment)}
    environment.check()
    environment.migrate(rooms())
    assert indexes(environment) == {("room_id",)}
    environment.check()


class Urgency(enum.Enum):
    low = 1
    most = 2


def tickets(*, declared: bool, labels: type[enum.Enum] = Urgency) -> Any:
    class Base(DeclarativeBase):
        pass

    class Ticket(Base):
        __tablename__ = "ticket"
        id: Mapped[int] = mapped_column(primary_key=True)
        queue_id: Mapped[int] = mapped_column(ForeignKey("queue.id"), index=True)
        urgency: Mapped[Any] = mapped_column(Enum(labels, name="urgency"))

    class Queue(Base):
        __tablename__ = "queue"
        id: Mapped[int] = mapped_column(primary_key=True)
        tickets: Mapped[list[Ticket]] = relationship()
        if declared:
            next_id: Mapped[int | None] = iq.computed(iq.Latest("tickets", "id", by="urgency"))

    Base.kept = [Ticket, Queue]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


@pytest.mark.parametrize("is_new", [True, False])
def test_a_hidden_column_has_the_enum_of_the_members(environment: Environment, *, is_new: bool) -> None:
    base = tickets(declared=is_new)
    environment.migrate(base)
    environment.run(
        *([] if is_new else ["INSERT INTO queue (id) VALUES (1)"]),
        *([] if is_new else ["INSERT INTO ticket (id, queue_id, urgency) VALUES (1, 1, 'most'), (2, 1, 'low')"]),
    )
    if not is_new:
        base = tickets(declared=True)
        environment.migrate(base)
        assert environment.rows("SELECT next_id FROM queue") == [(1,)]
    environment.check()
    assert iq.System(environment.engine, base=base, configure_sqlite=False, unattached="allow").check()

    more = enum.Enum("Urgency", ["low", "most", "stop"])  # type: ignore[misc]
    environment.migrate(tickets(declared=True, labels=more))
    environment.check()
