"""Ids that are given are honoured by whatever way they come, and the sequence moves past them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.support.statements import count_statements

MEMBER = iq.Entity("Member", [iq.Property("name", str)])
PLAIN = iq.Entity("Plain", [iq.Property("name", str)])


def definitions() -> dict[str, Any]:
    size = iq.Property("size", int, computation=iq.Count("members"))
    team = iq.Entity("Team", [iq.Property("name", str), size])
    members = iq.Relation(source=team, source_property="members", target=MEMBER, target_property="team", type="1:n")
    return {"entities": [team, MEMBER, PLAIN], "relations": [members]}


@pytest.fixture
def system(engine: Engine) -> iq.System:
    schema = iq.compile_schema(MetaData(), **definitions())
    schema.metadata.create_all(engine)
    return iq.System(engine, base=schema)


def upsert(session: Session, cls: Any) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = dialect.insert(cls)
    return statement.on_conflict_do_update(index_elements=["id"], set_={"name": statement.excluded.name})


WAYS: dict[str, Callable[[Session, Any, Any], Any]] = {
    "object": lambda s, c, _: s.add(c(id=7, name="x")),
    "objects": lambda s, c, _: s.add_all([c(id=7, name="x"), c(id=3, name="z")]),
    "values": lambda s, c, _: s.execute(insert(c).values(id=7, name="x")),
    "several values": lambda s, c, _: s.execute(insert(c).values([{"id": 7, "name": "x"}, {"id": 3, "name": "y"}])),
    "rows": lambda s, c, _: s.execute(insert(c), [{"id": 7, "name": "x"}, {"id": 3, "name": "y"}]),
    "one row": lambda s, c, _: s.execute(insert(c), {"id": 7, "name": "x"}),
    "of the table": lambda s, c, _: s.execute(insert(c.__table__), [{"id": 7, "name": "x"}, {"id": 3, "name": "y"}]),
    "select": lambda s, c, _: s.execute(insert(c).from_select(["name", "id"], select(literal("x"), literal(7)))),
    "returning": lambda s, c, _: s.scalars(insert(c).returning(c), [{"id": 7, "name": "x"}]).all(),
    "upsert": lambda s, c, _: s.execute(upsert(s, c), [{"id": 7, "name": "x"}]),
    "storage": lambda s, c, storage: storage.with_session(s).create(c, {"id": 7, "name": "x"}),
}


@pytest.mark.parametrize("record", ["Team", "Member", "Plain"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_next_id_is_beyond(system: iq.System, way: Any, record: str) -> None:
    cls = system.schema.mapped_class(record)
    with system.session_factory.begin() as session:
        way(session, cls, system.storage)
    with system.session_factory.begin() as session:
        fresh = [cls(name="n1"), cls(name="n2")]
        session.add_all(fresh)
        session.flush()
        assert [row.id for row in fresh] == [8, 9]


def test_ids_that_are_not_given_cost_nothing(system: iq.System, engine: Engine) -> None:
    cls = system.schema.mapped_class("Plain")
    with system.session_factory.begin() as session, count_statements(engine) as statements:
        session.execute(insert(cls), [{"name": "x"}, {"name": "y"}])
        session.add(cls(name="z"))
        session.flush()
    assert not any("setval" in statement for statement in statements)


@pytest.mark.postgres
def test_one_look_is_enough(system: iq.System, engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        return  # it counts from the highest row
    cls = system.schema.mapped_class("Member")
    with system.session_factory.begin() as session, count_statements(engine) as statements:
        session.execute(insert(cls), [{"id": n, "name": "x"} for n in range(50, 1, -1)])
        session.add(cls(id=1, name="z"))
        session.flush()
    assert sum("setval" in statement for statement in statements) == 1
