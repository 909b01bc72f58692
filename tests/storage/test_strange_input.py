"""What callers pass that nobody thought of: keys as text, circles of rows, no match, values that only look alike."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, MetaData, true
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq

Node = iq.Entity(
    "Node",
    [
        iq.Property("name", str),
        iq.Property("rank", int),
        iq.Property("data", "object"),
        iq.Property("child_count", int, computation=iq.Count("children")),
    ],
)
Leaf = iq.Entity("Leaf", [iq.Property("weight", Decimal), iq.Property("mark", UUID)])
Tree = iq.Relation(source=Node, source_property="children", target=Node, target_property="parent", type="1:n")
Leaves = iq.Relation(source=Node, source_property="leaves", target=Leaf, target_property="node", type="1:n")
Friends = iq.Relation(source=Node, source_property="friends", target=Node, target_property="friend_of", type="n:n")
Weight = iq.Dictionary("weight", Decimal, computation=iq.Summation("Leaf", "weight"))
DEFINITIONS: dict[str, Any] = {
    "entities": [Node, Leaf],
    "relations": [Tree, Leaves, Friends],
    "dictionaries": [Weight, iq.Dictionary("anything", "object")],
}


@pytest.fixture
def system(engine: Engine) -> iq.System:
    system = iq.System(engine, base=iq.compile_schema(MetaData(), **DEFINITIONS))
    iq.Controller(system).setup(install=True)
    return system


def test_first_use_of_a_class(system: iq.System) -> None:
    again = iq.System(system.session_factory, base=iq.compile_schema(MetaData(), **DEFINITIONS))
    assert again.storage.create("Node", {}) == {"id": 1}


def test_keys_as_text(system: iq.System) -> None:
    storage = system.storage
    storage.create("Node", {"name": "root"})
    storage.create("Node", {"name": "child", "parent": {"id": "1"}})
    assert storage.find("Node", {"id": "1"}, attribute_query=["child_count"]) == [{"id": 1, "child_count": 1}]
    assert len(storage.find("Node", {"id": ("in", ["1", 2, "x", 10**30])})) == 2
    assert storage.find("Node", {"parent.id": "1"}) == [{"id": 2}]
    assert storage.find("Node", {"id": "x"}) == storage.find("Node", {"id": 10**30}) == []
    assert storage.find("Node", {"id": ("not in", ["1", "x"])}) == [{"id": 2}]
    assert len(storage.find("Node", {"id": ("!=", "x")})) == 2
    assert storage.find("Node", {"parent.id": ("in", ["x", None])}) == [{"id": 1}]
    assert storage.update("Node", {"id": "2"}, {"parent": {"id": "2"}, "friends": [{"id": "1"}]})
    storage.update("Node", {"id": "2"}, {"friends": [{"id": 1}]})  # the same friend, no second link
    assert len(storage.find("Node_friends_friend_of_Node", {"source.id": "2"})) == 1
    with pytest.raises(iq.DefinitionFault, match="'x' cannot be a key"):
        storage.create("Node", {"parent": {"id": "x"}})
    with pytest.raises(iq.DefinitionFault, match="cannot be a key"):
        storage.create("Node", {"id": 10**30})
    storage.create("Node", {"id": "7"})
    assert storage.create("Node", {}) == {"id": 8}
    storage.add_relation("Node_children_parent_Node", "1", "7")
    assert storage.find_one("Node", {"id": 1}, attribute_query=["child_count"]) == {"id": 1, "child_count": 1}
    leaf = storage.create("Leaf", {"mark": UUID(int=3)})
    assert storage.find("Leaf", {"mark": str(UUID(int=3))}) == [{"id": leaf["id"]}]
    assert storage.find("Leaf", {"mark": "no such thing"}) == []
    assert system.check().ok


async def test_keys_as_text_async(async_engine: AsyncEngine) -> None:
    system = iq.AsyncSystem(async_engine, base=iq.compile_schema(MetaData(), **DEFINITIONS))
    await iq.AsyncController(system).setup(install=True)
    await system.storage.create("Node", {"name": "root"})
    await system.storage.create("Node", {"id": "5", "parent": {"id": "1"}})
    assert await system.storage.update("Node", {"id": "5"}, {"name": "child"}) == [{"id": 5, "name": "child"}]
    found = await system.storage.find_one("Node", {"id": "1"}, attribute_query=["child_count"])
    assert found == {"id": 1, "child_count": 1}
    assert (await system.check()).ok


@pytest.mark.parametrize("parent", [None, {"id": 2}, {"name": "new"}])
def test_rows_that_refer_to_themselves(system: iq.System, parent: Any) -> None:
    storage = system.storage
    for name in ("a", "b"):
        storage.create("Node", {"name": name})
    storage.update("Node", {"id": 1}, {"parent": {"id": 1}})
    assert storage.find_one("Node", {"id": 1}, attribute_query=["child_count"]) == {"id": 1, "child_count": 1}
    storage.update("Node", {"id": 1}, {"parent": parent})
    assert storage.find_one("Node", {"id": 1}, attribute_query=["child_count"]) == {"id": 1, "child_count": 0}
    assert system.check().ok
    storage.update("Node", {"id": 1}, {"parent": {"id": 1}})
    assert [row["name"] for row in storage.delete("Node", {"id": 1})] == ["a"]
    assert system.check().ok


def test_circles_of_rows(system: iq.System) -> None:
    storage = system.storage
    for _ in range(5):
        storage.create("Node", {})
    for child, parent in ((1, 2), (2, 3), (3, 1), (4, 4), (5, 3)):
        storage.update("Node", {"id": child}, {"parent": {"id": parent}})
    deleted = storage.delete("Node", {"id": ("in", [1, 2, 3, 4])})
    assert [(row["id"], row["parent_id"]) for row in deleted] == [(1, 2), (2, 3), (3, 1), (4, 4)]
    assert storage.find("Node", attribute_query=["parent_id"]) == [{"id": 5, "parent_id": None}]
    assert system.check().ok


@pytest.mark.parametrize("write", [lambda s, m: s.update("Node", m, {"rank": 1}), lambda s, m: s.delete("Node", m)])
def test_nothing_found_is_not_everything(system: iq.System, write: Callable[[iq.Storage, Any], Any]) -> None:
    system.storage.create("Node", {})
    with pytest.raises(iq.DefinitionFault, match="say which records are meant"):
        write(system.storage, system.storage.find_one("Node", {"name": "nobody"}))
    assert len(write(system.storage, lambda _: true())) == 1


@pytest.mark.parametrize("data", [None, [], "name", {1: 2}, {"friends": [None]}, {"children": [None]}])
def test_data_that_is_none(system: iq.System, data: Any) -> None:
    with pytest.raises(iq.DefinitionFault, match="mapping"):
        system.storage.create("Node", data)
    assert system.storage.find("Node") == []


@pytest.mark.parametrize(
    "options", [{"order_by": ["name"]}, {"attribute_query": [("children", {"modifier": {"top": 1}})]}]
)
def test_options_that_are_none(system: iq.System, options: dict[str, Any]) -> None:
    with pytest.raises(iq.DefinitionFault, match="order_by"):
        system.storage.find("Node", **options)


VALUES = [0, False, "", [], {}, {"a": 0}, {"a": False}, [1], [True], [[0]], [[False]], 1, True, None, {"a": [None]}]


def test_values_that_python_takes_for_equal(system: iq.System) -> None:
    storage = system.storage
    storage.create("Node", {"data": None})
    for value in VALUES:
        storage.update("Node", {"id": 1}, {"data": value})
        storage.dictionary.set("anything", value)
        (found,) = storage.find("Node", attribute_query=["data"])
        assert repr(found["data"]) == repr(storage.dictionary.get("anything")) == repr(value)


@pytest.mark.postgres
def test_sums_have_all_digits_whatever_the_decimal_context(engine_for: Any) -> None:
    system = iq.System(engine_for("psycopg"), base=iq.compile_schema(MetaData(), **DEFINITIONS))
    iq.Controller(system).setup(install=True)
    storage = system.storage
    weights = [Decimal("123456789012345.678901234567890123456789"), Decimal("0.1234567890123456789012345678901")]
    with localcontext(prec=5):
        for weight in weights:
            storage.create("Leaf", {"weight": weight})
        storage.create("Leaf", {"weight": Decimal("98765432109876543210.5")})
        storage.update("Leaf", {"id": 1}, {"weight": Decimal("1.00000000000000000000000000000000001")})
        storage.delete("Leaf", {"id": 3})
        assert system.check().ok
        storage.delete("Leaf", lambda _: true())
        assert storage.dictionary.get("weight") == 0
        assert system.check().ok
