"""Indexes in the order of members are created and dropped with the values that use them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, inspect

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
