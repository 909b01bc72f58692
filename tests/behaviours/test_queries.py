"""Matches, orders, pages and attribute queries: S-A11 to S-A24."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import numbers, storage_of


@pytest.fixture
def clubs(storage: iq.Storage) -> iq.Storage:
    """Return a storage with persons 1 (age 1, teams x and y), 2 (age 2, team y) and 3 (no age, no team)."""
    storage.create("Team", {"name": "x"})
    storage.create("Team", {"name": "y"})
    both = [{"id": 1, "&": {"role": "r1"}}, {"id": 2, "&": {"role": "r2"}}]
    storage.create("Person", {"name": "A", "age": 1, "teams": both})
    storage.create("Person", {"name": "B", "age": 2, "teams": [{"id": 2, "&": {"role": "r1"}}], "boss": {"id": 1}})
    storage.create("Person", {"name": "C", "age": None, "boss": {"id": 2}, "desk": {"number": 1}})
    return storage


def _team(name: str) -> Any:
    return iq.MatchExp.atom("teams", ("exist", {"name": name}))


_NONE: list[Any] = []


@behaviour("S-A12")
@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"age": None}, [3]),
        ({"age": ("=", None)}, [3]),
        ({"age": ("!=", None)}, [1, 2]),
        ({"age": ("not", None)}, [1, 2]),
        ({"age": ("is null",)}, [3]),
        ({"age": ("is not null",)}, [1, 2]),
        ({"age": ("in", _NONE)}, []),
        (~iq.MatchExp.atom("age", ("in", _NONE)), [1, 2, 3]),
        ({"age": ("not in", _NONE)}, [1, 2, 3]),
        ({"age": ("in", [None, 1])}, [1, 3]),
        ({"age": ("not in", [1])}, [2]),
        ({"age": ("not in", [None, 1])}, [2]),
        ({"age": ("between", (1, 2))}, [1, 2]),
        (~iq.MatchExp.atom("age", (">", 1)), [1]),
        ({"age": (">=", 1), "name": ("LIKE", "%A%")}, [1]),
    ],
)
def test_null_and_lists(clubs: iq.Storage, match: Any, expected: list[int]) -> None:
    assert numbers(clubs, "Person", match) == expected


@behaviour("S-A12")
@pytest.mark.parametrize(
    ("operand", "message"),
    [
        (("between", (1,)), "between"),
        (("between", (1, 2, 3)), "between"),
        (("between", (None, 2)), "between"),
        (("resembles", 1), "resembles"),
        (("=",), "operand"),
        ((">", None), ">"),
        (("not", 1), "not"),
    ],
)
def test_operands_that_cannot_be(clubs: iq.Storage, operand: Any, message: str) -> None:
    with pytest.raises(iq.FrameworkError, match=message):
        clubs.find("Person", {"age": operand})


@behaviour("S-A14")
@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (_team("y"), [1, 2]),
        (~_team("y"), [3]),
        (_team("x") & _team("y"), [1]),
        (~_team("x") & ~_team("y"), [3]),
        ({"staff": ("exist", {"staff": ("exist", {"name": "C"})})}, [1]),
        (~iq.MatchExp.atom("staff", ("exist", {"staff": ("exist", {"name": "C"})})), [2, 3]),
        ({"boss": ("exist", {"teams": ("exist", {"name": "x"})})}, [2]),
        ({"desk": ("exist", {"number": 1})}, [3]),
        ({"boss": ("exist", ~_team("x"))}, [3]),
    ],
)
def test_existence(clubs: iq.Storage, match: Any, expected: list[int]) -> None:
    assert numbers(clubs, "Person", match) == expected


@behaviour("S-A15")
def test_members_of_a_collection(engine: Engine) -> None:
    tags = [iq.Property("tags", "string", collection=True), iq.Property("n", "number", collection=True)]
    storage = storage_of(engine, entities=[iq.Entity("Note", [*tags, iq.Property("text", str)])])
    for values in (["a", "b"], ["ab"], [], None):
        storage.create("Note", {"tags": values, "n": [1, 2.5]})
    assert numbers(storage, "Note", {"tags": ("contains", "a")}) == [1]
    assert numbers(storage, "Note", {"n": ("contains", 2.5)}) == [1, 2, 3, 4]
    assert numbers(storage, "Note", {"n": ("contains", "1")}) == []
    with pytest.raises(iq.FrameworkError, match="contains"):
        storage.find("Note", {"text": ("contains", "a")})


@behaviour("S-A16")
def test_orders_and_pages(clubs: iq.Storage) -> None:
    clubs.create("Person", {"name": "D", "age": 2})
    assert numbers(clubs, "Person", limit=0) == []
    assert numbers(clubs, "Person", offset=2) == [3, 4]
    assert numbers(clubs, "Person", limit=1, offset=1) == [2]
    assert numbers(clubs, "Person", {"age": 2}, order_by={"age": "DESC", "name": "desc"}) == [4, 2]
    by_boss = numbers(clubs, "Person", order_by={"boss.name": "ASC", "id": "ASC"})
    assert sorted(by_boss) == [1, 2, 3, 4]  # those without a boss too
    assert by_boss.index(2) < by_boss.index(3)
    for order in ({"name": "UP"}, {"nam": "ASC"}, {"teams.name": "ASC"}, {"name; drop table person": "ASC"}):
        with pytest.raises(iq.FrameworkError):
            clubs.find("Person", order_by=order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@behaviour("S-A17")
def test_a_page_is_one_of_records(clubs: iq.Storage) -> None:
    match = {"teams": ("exist", {"name": ("in", ["x", "y"])})}
    options: dict[str, Any] = {"attribute_query": ["teams.members.name"], "order_by": {"name": "ASC"}}
    first = clubs.find("Person", match, limit=1, **options)
    second = clubs.find("Person", match, limit=2, after=first.cursor, **options)
    assert [row["id"] for row in [*first, *second]] == [1, 2]
    assert sorted(len(team["members"]) for team in first[0]["teams"]) == [1, 2]
    assert clubs.count("Person", match) == 2


@behaviour("S-A18")
def test_neighbours_are_filtered_and_paged_for_each_record(clubs: iq.Storage) -> None:
    first = {"modifier": {"order_by": {"name": "DESC"}, "limit": 1}, "attribute_query": ["name"]}
    found = clubs.find("Person", attribute_query=[("teams", first)], order_by={"id": "ASC"})
    assert [[team["name"] for team in row["teams"]] for row in found] == [["y"], ["y"], []]
    found = clubs.find(
        "Person",
        attribute_query=[("teams", {"match_expression": {"name": "x"}}), ("boss", {"match_expression": {"name": "A"}})],
        order_by={"id": "ASC"},
    )
    assert [(len(row["teams"]), row["boss"]) for row in found] == [(1, None), (0, {"id": 1}), (0, None)]


@behaviour("S-A19")
def test_the_way_back_and_links_at_each_level(clubs: iq.Storage) -> None:
    link = ("&", {"attribute_query": ["role"]})
    back = ("members", {"attribute_query": ["name", link], "modifier": {"order_by": {"id": "ASC"}}})
    (found,) = clubs.find(
        "Person",
        {"name": "B"},
        attribute_query=[("teams", {"attribute_query": [link, back]}), ("teams", {"attribute_query": ["name"]})],
    )
    (team,) = found["teams"]
    assert (team["name"], team["&"]["role"]) == ("y", "r1")
    assert [(row["name"], row["&"]["role"]) for row in team["members"]] == [("A", "r2"), ("B", "r1")]
    (boss,) = clubs.find("Person", {"name": "A"}, attribute_query=["staff.boss.name"])
    assert boss["staff"] == [{"id": 2, "boss": {"id": 1, "name": "A"}}]


@behaviour("S-A21")
@pytest.mark.parametrize(
    "call",
    [
        {"attribute_query": ["nam"]},
        {"attribute_query": ["boss.nam"]},
        {"match": {"nam": 1}},
        {"match": {"boss.nam": 1}},
        {"match": {"teams": ("exist", {"nam": 1})}},
        {"match": {"name.first": 1}},
        {"order_by": {"nam": "ASC"}},
    ],
)
def test_what_does_not_exist_is_named(clubs: iq.Storage, call: dict[str, Any]) -> None:
    with pytest.raises(iq.FrameworkError, match=r"(Person|Team) has no \w+ '?nam"):
        clubs.find("Person", **call)


@behaviour("S-A22")
def test_ids_may_be_texts(clubs: iq.Storage) -> None:
    assert numbers(clubs, "Person", {"id": "1"}) == numbers(clubs, "Person", {"id": ("in", ["1"])}) == [1]
    assert numbers(clubs, "Person", {"boss.id": "1"}) == [2]
    clubs.update("Person", {"id": "3"}, {"boss": {"id": "1"}, "teams": [{"id": "1"}]})
    clubs.add_relation("Membership", "3", "2")
    assert numbers(clubs, "Person", {"boss.id": 1, "teams": ("exist", {"id": "2"})}) == [2, 3]


@behaviour("S-A23")
def test_the_first_or_none(clubs: iq.Storage) -> None:
    assert clubs.find_one("Person", {"name": "Z"}) is None
    assert clubs.find_one("Person", {"age": (">", 0)}, order_by={"age": "DESC"}) == {"id": 2}


@behaviour("S-A24")
@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("a_c", [1, 2]), ("a%", [1, 2, 3]), ("%'%", [3]), ("a%' OR '1'='1", []), ('%"%', [4])],
)
def test_wildcards_and_quotes(storage: iq.Storage, pattern: str, expected: list[int]) -> None:
    for name in ("abc", "a_c", "a'c; drop table person --", 'x"y'):
        storage.create("Person", {"name": name})
    assert numbers(storage, "Person", {"name": ("like", pattern)}) == expected
