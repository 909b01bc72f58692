"""Creating, changing and deleting records with their relations: S-A25 to S-A43."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import counts, numbers, storage_of

_TREE: dict[str, Any] = {
    "name": "Ann",
    "boss": {"name": "Bob", "department": {"name": "top"}},
    "desk": {"number": 4},
    "wallet": {"amount": 5},
    "profile": {"title": "p", "&": {"viewed": 2}},
    "documents": [{"title": "d", "&": {"viewed": 3}}, {"title": "e"}],
    "teams": [{"name": "x", "&": {"role": "r"}}, {"name": "y"}],
    "powers": [{"name": "fly", "charges": [{"level": 1}, {"level": 2}]}],
    "staff": [{"name": "Cid", "teams": [{"name": "z"}]}],
}

_STEALING: list[Callable[[iq.Storage, str], Any]] = [
    lambda s, a: s.create("Person", {a: {"id": 1}}),
    lambda s, a: s.update("Person", {"id": 2}, {a: {"id": 1}}),
    lambda s, a: s.update("Desk" if a == "desk" else "Profile", {"id": 1}, {"owner": {"id": 2}}),
]
_MOVING: list[Callable[[iq.Storage], Any]] = [
    lambda s: s.update("Power", {"id": 1}, {"owner": {"id": 2}}),
    lambda s: s.update("Person", {"id": 2}, {"powers": [{"id": 1}]}),
    lambda s: s.add_relation("Person_powers_owner_Power", 2, 1),
]
_LEAVING: list[Callable[[iq.Storage], Any]] = [
    lambda s: s.update("Power", {"id": 1}, {"owner": None}),
    lambda s: s.update("Person", {"id": 1}, {"powers": []}),
    lambda s: s.update("Person", {"id": 1}, {"wallet": None}),
    lambda s: s.remove_relation("Person_powers_owner_Power", {"source.id": 1}),
]


@behaviour("S-A25")
def test_a_tree_of_all_kinds_of_relations(storage: iq.Storage) -> None:
    made = storage.create("Person", _TREE)
    assert counts(storage) == {
        "Person": 3,
        "Department": 1,
        "Desk": 1,
        "Wallet": 1,
        "Profile": 1,
        "Portrait": 1,
        "Document": 2,
        "Ownership": 2,
        "Team": 3,
        "Membership": 3,
        "Power": 1,
        "Charge": 2,
    }
    (found,) = storage.find(
        "Person",
        {"id": made["id"]},
        attribute_query=[
            *("name", "boss.name", "boss.department.name", "desk.number", "wallet.amount", "profile.title"),
            *("documents.title", "teams.name", "powers.name", "powers.charges.level"),
            *("staff.name", "staff.teams.name"),
        ],
    )
    links = {"profile", "documents", "teams"}
    expected = {name: value if name not in links else _without_links(value) for name, value in made.items()}
    assert found == expected


@behaviour("S-A26")
def test_a_record_that_is_referred_to_stays_as_it_is(storage: iq.Storage) -> None:
    storage.create("Person", {"name": "Ann"})
    storage.create("Team", {"name": "x", "members": [{"id": 1}]})
    storage.create("Person", {"name": "Bob", "boss": {"id": 1}, "teams": [{"id": 1}]})
    assert storage.find("Person", {"id": 1}, attribute_query=["name", "age"]) == [{"id": 1, "name": "Ann", "age": None}]
    assert counts(storage) == {"Person": 2, "Team": 1, "Membership": 2}
    with pytest.raises(iq.FrameworkError, match="to refer to it give its key alone"):
        storage.create("Person", {"boss": {"id": 1, "name": "other"}})


@behaviour("S-A28")
def test_a_set_of_neighbours_is_replaced(storage: iq.Storage) -> None:
    for name in "xyz":
        storage.create("Team", {"name": name})
    storage.create("Person", {"teams": [{"id": 1, "&": {"role": "a"}}, {"id": 2, "&": {"role": "b"}}]})
    storage.update("Person", {"id": 1}, {"teams": [{"id": 2}, {"id": 3, "&": {"role": "c"}}]})
    link = ("teams", {"attribute_query": [("&", {"attribute_query": ["role"]})]})
    (found,) = storage.find("Person", attribute_query=[link])
    assert [(team["id"], team["&"]["role"]) for team in found["teams"]] == [(2, "b"), (3, "c")]
    storage.update("Person", {"id": 1}, {"teams": [{"id": 2, "&": {"role": "d"}}]})
    (found,) = storage.find("Person", attribute_query=[link])
    assert [(team["id"], team["&"]["role"]) for team in found["teams"]] == [(2, "d")]
    nothings: list[Any] = [[], None]
    for nothing in nothings:
        storage.update("Person", {"id": 1}, {"teams": [{"id": 1}]})
        storage.update("Person", {"id": 1}, {"teams": nothing})
        assert counts(storage) == {"Person": 1, "Team": 3}


@behaviour("S-A29")
@pytest.mark.parametrize(("attribute", "record"), [("boss", "Person"), ("desk", "Desk"), ("profile", "Profile")])
def test_one_neighbour_is_set_replaced_and_taken_away(storage: iq.Storage, attribute: str, record: str) -> None:
    storage.create("Person", {"name": "p"})
    first, second = (storage.create(record, {})["id"] for _ in range(2))
    for value, expected in (({"id": first}, first), ({"id": first}, first), ({"id": second}, second), (None, None)):
        storage.update("Person", {"id": 1}, {attribute: value})
        (found,) = storage.find("Person", {"id": 1}, attribute_query=[attribute])
        assert found[attribute] == (None if expected is None else {"id": expected})
    storage.update("Person", {"id": 1}, {attribute: {}})
    assert len(storage.find("Person", {attribute: ("exist", {"id": (">", second)})})) == 1


@behaviour("S-A29")
def test_values_of_the_link_to_the_same_neighbour(storage: iq.Storage) -> None:
    storage.create("Person", {"profile": {"title": "p", "&": {"viewed": 1}}})
    before = storage.find("Portrait", attribute_query=["*"])
    storage.update("Person", {"id": 1}, {"profile": {"id": 1, "&": {"viewed": 9}}})
    assert storage.find("Portrait", attribute_query=["*"]) == [{**before[0], "viewed": 9}]


@behaviour("S-A30")
@pytest.mark.parametrize("attribute", ["desk", "profile"])
@pytest.mark.parametrize("steal", _STEALING, ids=["create", "update", "from the other end"])
def test_an_only_neighbour_is_given_up(storage: iq.Storage, attribute: str, steal: Any) -> None:
    storage.create("Person", {"name": "first", attribute: {}})
    storage.create("Person", {"name": "second", attribute: {}})
    steal(storage, attribute)
    assert numbers(storage, "Person", {attribute: ("exist", {"id": 1})}) == [max(numbers(storage, "Person"))]
    (first,) = storage.find("Person", {"id": 1}, attribute_query=[attribute])
    assert first[attribute] is None
    owned = storage.find("Desk" if attribute == "desk" else "Profile", {"id": 1}, attribute_query=["owner"])
    assert owned[0]["owner"]["id"] == max(numbers(storage, "Person"))


@behaviour("S-A31")
@pytest.mark.parametrize("move", _MOVING, ids=["by the child", "by the parent", "add_relation"])
def test_a_child_changes_its_parent(storage: iq.Storage, move: Any) -> None:
    storage.create("Person", {"powers": [{"name": "fly"}, {"name": "swim"}]})
    storage.create("Person", {})
    move(storage)
    found = storage.find("Person", attribute_query=["powers.name"], order_by={"id": "ASC"})
    assert [[power["name"] for power in row["powers"]] for row in found] == [["swim"], ["fly"]]


@behaviour("S-A32")
def test_the_same_link_twice(storage: iq.Storage) -> None:
    storage.create("Team", {"name": "x"})
    storage.create("Person", {"name": "a"})
    storage.add_relation("Membership", 1, 1)
    with pytest.raises(iq.ConstraintViolationError):
        storage.add_relation("Membership", 1, 1)
    assert len(storage.find("Membership")) == 1


@behaviour("S-A33")
def test_writes_meet_what_find_finds(storage: iq.Storage) -> None:
    storage.create("Person", {"name": "a", "staff": [{"name": "b"}, {"name": "c", "teams": [{"name": "x"}]}]})
    for match in ({"boss.name": "a"}, {"boss.name": "a", "teams": ("exist", {"name": "x"})}):
        expected = numbers(storage, "Person", match)
        assert [row["id"] for row in storage.update("Person", match, {"age": 5})] == expected
        assert numbers(storage, "Person", {"age": 5}) == expected
        storage.update("Person", {"age": 5}, {"age": None})
    assert [row["id"] for row in storage.delete("Person", {"boss.name": "a"})] == [2, 3]
    assert numbers(storage, "Person") == [1]
    assert storage.update("Person", {"name": "z"}, {"age": 1}) == storage.delete("Person", {"name": "z"}) == []


@behaviour("S-A34")
def test_each_record_gets_a_new_neighbour_of_its_own(storage: iq.Storage) -> None:
    for _ in range(2):
        storage.create("Person", {"name": "a"})
    storage.update("Person", {"name": "a"}, {"desk": {"number": 1}, "teams": [{"name": "x"}]})
    assert counts(storage) == {"Person": 2, "Desk": 2, "Team": 2, "Membership": 2}


@behaviour("S-A35")
def test_a_record_with_everything_attached_is_deleted(storage: iq.Storage) -> None:
    storage.create("Person", _TREE | {"liked_by": [{"name": "Dee"}], "likes": [{"name": "Eve"}]})
    (gone,) = storage.delete("Person", {"name": "Ann"})
    assert gone["name"] == "Ann"
    assert counts(storage) == {
        "Person": 4,
        "Department": 1,
        "Desk": 1,
        "Profile": 1,
        "Document": 2,
        "Team": 3,
        "Membership": 1,
    }


@behaviour("S-A36")
@pytest.mark.parametrize("leave", _LEAVING)
def test_what_is_relied_on_stays(storage: iq.Storage, leave: Any) -> None:
    storage.create("Person", {"wallet": {}, "powers": [{"charges": [{"level": 1}]}]})
    before = counts(storage)
    with pytest.raises(iq.FrameworkError, match="exists only with its owner"):
        leave(storage)
    assert counts(storage) == before
    storage.delete("Power", {"id": 1})
    assert counts(storage) == {"Person": 1, "Wallet": 1}  # a target goes alone, its own targets go with it
    storage.delete("Person", {"id": 1})
    assert counts(storage) == {}


@behaviour("S-A36")
def test_a_long_chain_of_reliance(engine: Engine) -> None:
    node = iq.Entity("Node", [iq.Property("n", int)])
    chain = iq.Relation(
        source=node, source_property="next", target=node, target_property="last", type="1:1", is_target_reliance=True
    )
    storage = storage_of(engine, entities=[node], relations=[chain])
    for n in range(300):
        storage.create("Node", {"n": n, "last": {"id": n}} if n else {"n": n})
    storage.delete("Node", {"n": 100})
    assert len(storage.find("Node")) == 100
    own = storage.create("Node", {"n": 500})
    key = {"id": own["id"]}
    storage.update("Node", key, {"last": key})  # it relies on itself
    storage.delete("Node", {"n": ("in", [0, 500])})
    assert storage.find("Node") == []


@behaviour("S-A37")
def test_defaults_fill_what_is_missing_once(engine: Engine) -> None:
    made: list[int] = []

    def number() -> int:
        made.append(len(made))
        return made[-1]

    thing = iq.Entity("Thing", [iq.Property("n", int, default=number), iq.Property("m", int)])
    storage = storage_of(engine, entities=[thing])
    storage.create("Thing", {})
    storage.create("Thing", {"n": None})
    storage.create("Thing", {"n": 0})
    storage.update("Thing", {"id": (">", 0)}, {"m": 1})
    assert [row["n"] for row in storage.find("Thing", attribute_query=["n"], order_by={"id": "ASC"})] == [0, None, 0]
    assert made == [0]


@behaviour("S-A38")
def test_values_of_the_same_row_follow(storage: iq.Storage) -> None:
    storage.create("Person", {"name": "a"})
    assert storage.find("Person", {"label": "<a>"}, attribute_query=["label"]) == [{"id": 1, "label": "<a>"}]
    storage.update("Person", {"id": 1}, {"name": "b"})
    storage.create("Team", {"members": [{"name": "c"}]})
    found = storage.find("Person", attribute_query=["label"], order_by={"label": "DESC"})
    assert [row["label"] for row in found] == ["<c>", "<b>"]


@behaviour("S-A39")
@pytest.mark.parametrize("record", ["Team", "Person"])
def test_given_ids(storage: iq.Storage, record: str) -> None:
    storage.create(record, {"id": 77})
    assert storage.create(record, {})["id"] == 78
    with pytest.raises(iq.ConstraintViolationError):
        storage.create(record, {"id": 77})
    with pytest.raises(iq.FrameworkError, match="never changes"):
        storage.update(record, {"id": 77}, {"id": 79})
    assert numbers(storage, record) == [77, 78]


@behaviour("S-A40")
@pytest.mark.parametrize(
    "data",
    [
        {"nam": "a"},
        {"boss": {"nam": "a"}},
        {"teams": [{"name": "x"}, {"nam": "y"}]},
        {"teams": [{"name": "x", "&": {"rol": "y"}}]},
        {"boss": {"id": 99}},
        {"boss": {"id": "not a key"}},
        {"boss": 1},
        {"boss": [{"name": "a"}, {"name": "b"}]},
        {"teams": {"name": "x"}},
        {"teams": [None]},
        {"id": None, "name": object()},
    ],
)
def test_data_that_cannot_be(storage: iq.Storage, data: dict[str, Any]) -> None:
    storage.create("Person", {"name": "first"})
    for write in (lambda: storage.create("Person", data), lambda: storage.update("Person", {"id": 1}, data)):
        with pytest.raises(iq.FrameworkError):
            write()
    assert counts(storage) == {"Person": 1}
    assert storage.find("Person", attribute_query=["name"]) == [{"id": 1, "name": "first"}]


@behaviour("S-A41")
def test_data_stays_as_it_is(storage: iq.Storage) -> None:
    data = deepcopy(_TREE)
    storage.create("Person", data)
    storage.update("Person", {"name": "Ann"}, change := {"teams": [{"id": 1, "&": {"role": "q"}}], "boss": {}})
    assert (data, change) == (_TREE, {"teams": [{"id": 1, "&": {"role": "q"}}], "boss": {}})


@behaviour("S-A43")
@pytest.mark.parametrize(
    "value",
    ["123", "plain", "null", {"a": None, "b": [{"c": "ü€😀"}]}, [], {}, [1, "1", True, None], {"x": ["y" * 50] * 500}],
    ids=lambda value: repr(value)[:20],
)
def test_json(engine: Engine, value: Any) -> None:
    storage = storage_of(engine, entities=[iq.Entity("Thing", [iq.Property("value", "object")])])
    storage.create("Thing", {"value": value})
    storage.create("Thing", {"value": None})
    found = storage.find("Thing", attribute_query=["value"], order_by={"id": "ASC"})
    assert [row["value"] for row in found] == [value, None]
    assert numbers(storage, "Thing", {"value": None}) == [2]


def _without_links(value: Any) -> Any:
    if not hasattr(value, "items"):
        return [_without_links(part) for part in value]
    return {name: part for name, part in value.items() if name != "&"}
