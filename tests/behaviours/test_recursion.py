"""Trees and paths: S-A7, S-A20."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, event

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import storage_of


@pytest.fixture
def tree(storage: iq.Storage) -> iq.Storage:
    """Return a storage with departments 1 over 2 and 3, 2 over 4 and 5, 4 over 6; persons like 1-2, 2-3, 3-1, 3-4."""
    for name, parent in (("a", None), ("b", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 4)):
        storage.create("Department", {"name": name, "parent": parent and {"id": parent}})
    for name in "pqrst":
        storage.create("Person", {"name": name})
    for pair in ((1, 2), (2, 3), (3, 1), (3, 4)):
        storage.add_relation("Person_likes_liked_by_Person", *pair)
    return storage


def _shape(record: Any, name: str) -> Any:
    """Return the names of a tree, each with those below."""
    below = record.get(name, ())
    if isinstance(below, list):
        return record.get("name"), [_shape(row, name) for row in below]
    return (record.get("name"), *(() if not below else _shape(below, name)))


def _query(name: str, **options: Any) -> list[Any]:
    return ["name", (name, {"label": "node", "attribute_query": ["name", (name, {"goto": "node"} | options)]})]


@behaviour("S-A20")
def test_a_tree_is_read_to_its_leaves(tree: iq.Storage) -> None:
    found = tree.find_one("Department", {"id": 1}, attribute_query=_query("children"))
    leaf: list[Any] = []
    expected = ("a", [("b", [("d", [("f", leaf)]), ("e", leaf)]), ("c", leaf)])
    assert _shape(found, "children") == expected
    found = tree.find_one("Department", {"id": 6}, attribute_query=_query("parent"))
    assert _shape(found, "parent") == ("f", "d", "b", "a")
    assert len(tree.find("Department", attribute_query=_query("children"))) == 6


@behaviour("S-A20")
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_function_ends_the_levels(tree: iq.Storage, depth: int) -> None:
    seen: list[list[str]] = []

    def leave(ctx: Any) -> bool:
        seen.append([record["name"] for record in ctx.stack])
        return bool(ctx.depth > depth)

    found = tree.find_one("Department", {"id": 1}, attribute_query=_query("children", exit=leave))
    leaf: list[Any] = []
    below: Any = {1: leaf, 2: [("d", leaf), ("e", leaf)], 3: [("d", [("f", leaf)]), ("e", leaf)]}[depth]
    assert _shape(found, "children") == ("a", [("b", below), ("c", leaf)])
    assert seen[0] == ["a", "b"]


@behaviour("S-A20")
def test_matches_orders_and_links_hold_on_each_level(tree: iq.Storage) -> None:
    inner = ["name", ("&", {"attribute_query": ["target_id"]}), ("likes", {"goto": "node"})]
    options = {
        "label": "node",
        "match_expression": {"name": ("!=", "p")},
        "modifier": {"order_by": {"name": "DESC"}, "limit": 1},
        "attribute_query": inner,
    }
    found = tree.find_one("Person", {"id": 1}, attribute_query=[("likes", options)])
    assert found is not None
    path: list[Any] = []
    while found and found["likes"]:
        (found,) = found["likes"]
        path.append((found["name"], found["&"]["target_id"]))
    assert path == [("q", 2), ("r", 3), ("s", 4)]


@behaviour("S-A20")
def test_cycles_end(tree: iq.Storage) -> None:
    found = tree.find_one("Person", {"id": 1}, attribute_query=_query("likes"))
    assert found is not None
    # who is on the way already comes with the key alone
    assert found["likes"][0]["likes"][0]["likes"] == [{"id": 1}, {"id": 4, "name": "s", "likes": []}]
    tree.add_relation("Person_likes_liked_by_Person", 5, 5)
    assert tree.find_one("Person", {"id": 5}, attribute_query=_query("likes")) == {
        "id": 5,
        "name": "t",
        "likes": [{"id": 5, "name": "t", "likes": [{"id": 5}]}],
    }


@behaviour("S-A20")
def test_a_level_may_lead_over_several_relations(tree: iq.Storage) -> None:
    tree.update("Person", {"id": 1}, {"department": {"id": 1}, "staff": [{"id": 2}]})
    tree.update("Person", {"id": 2}, {"department": {"id": 2}})
    people = ("people", {"attribute_query": ["name", ("staff", {"goto": "node"})]})
    department = ("department", {"attribute_query": [people]})
    query: list[Any] = [("staff", {"label": "node", "attribute_query": ["name", department]})]
    found = tree.find_one("Person", {"id": 1}, attribute_query=query)
    assert found is not None
    (second,) = found["staff"]
    assert second["department"]["people"] == [{"id": 2, "name": "q", "staff": []}]


@behaviour("S-A20")
def test_each_level_costs_the_same_statements(engine: Engine) -> None:
    storage = storage_of(engine)
    before: list[int] = [storage.create("Department", {"name": "0"})["id"]]
    for level in range(1, 5):
        before = [
            storage.create("Department", {"name": f"{level}", "parent": {"id": parent}})["id"]
            for parent in before
            for _ in range(2)
        ]
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "department" in statement:
            statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        storage.find_one("Department", {"id": 1}, attribute_query=_query("children"))
        levels = len(statements)
        statements.clear()
        assert len(storage.find_path("Department", 1, before[-1], "children")) == 5
        steps = len(statements)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert levels <= 2 * 5
    assert steps <= 2 * 5


@behaviour("S-A20")
@pytest.mark.parametrize(
    ("record", "start", "end", "relation", "expected"),
    [
        ("Department", 1, 6, "children", "abdf"),
        ("Department", 6, 1, "parent", "fdba"),
        ("Department", 1, 6, "Department_children_parent_Department", "abdf"),
        ("Department", "2", 2, "children", "b"),
        ("Department", 3, 6, "children", ""),
        ("Department", 1, 99, "children", ""),
        ("Person", 1, 4, "likes", "pqrs"),
        ("Person", 4, 1, "likes", ""),
        ("Person", 4, 1, "liked_by", "srqp"),
    ],
)
def test_paths_are_found(tree: iq.Storage, record: str, start: Any, end: Any, relation: str, expected: str) -> None:
    found = tree.find_path(record, start, end, relation)
    assert "".join(row["name"] for row in found) == expected
    if found:
        assert found[0].keys() >= {"id", "name"}


@behaviour("S-A20", "S-A21")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.find("Department", attribute_query=[("children", {"goto": "x"})]), "is not the label"),
        (lambda s: s.find("Department", attribute_query=[("children", {"exit": len})]), "exit= belongs to a goto="),
        (lambda s: s.find("Department", attribute_query=_query("children", exit=1)), "exit= is a function"),
        (
            lambda s: s.find("Department", attribute_query=_query("children", modifier={"limit": 1})),
            "leave out mod",
        ),
        (lambda s: s.find("Department", attribute_query=_query("childre")), "no relationship 'childre'"),
        (
            lambda s: s.find(
                "Department",
                attribute_query=[("children", {"label": "n", "attribute_query": [("people", {"goto": "n"})]})],
            ),
            "leads to Department, and this does not",
        ),
        (lambda s: s.find_path("Department", 1, 2, "people"), "leads to Person"),
        (lambda s: s.find_path("Department", 1, 2, "nothing"), "there is no relation 'nothing'"),
        (lambda s: s.find_path("Department", "x", 2, "children"), "cannot be a key"),
    ],
)
def test_what_cannot_be_repeated_is_refused(tree: iq.Storage, call: Any, message: str) -> None:
    with pytest.raises(iq.DefinitionFault, match=message):
        call(tree)
