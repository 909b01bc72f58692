"""Comparisons along paths that lead to many records: S-A11."""

from __future__ import annotations

from typing import Any

import pytest

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import numbers
from tests.behaviours.test_queries import clubs

__all__ = ["clubs"]  # a fixture

atom = iq.MatchExp.atom


def _team(name: str) -> Any:
    return atom("teams.name", ("=", name))


def _role(role: str) -> Any:
    return atom("teams.&.role", ("=", role))


def _some(name: str) -> Any:
    return atom("teams", ("exist", {"name": name}))


#: persons 1 (age 1, team x as r1, y as r2), 2 (age 2, team y as r1, boss 1) and 3 (no age, no team, boss 2, a desk)
MATCHES: list[tuple[Any, list[int]]] = [
    (_team("y"), [1, 2]),
    (~_team("y"), [1]),  # has a team that is another one
    (_team("x") & _team("y"), []),  # of one team both
    (_some("x") & _some("y"), [1]),  # of two teams one each
    (_team("x") | _team("y"), [1, 2]),
    (_team("x") & _role("r2"), []),
    (_team("x") & _role("r1"), [1]),
    (_team("y") & ~_role("r1"), [1]),
    (~(_team("x") | _role("r2")), [2]),
    (~_team("x") & ~_role("r2"), [2]),
    (~_some("y"), [3]),
    (_team("x") & atom("boss.id", ("=", None)), [1]),
    (_team("x") | atom("age", ("=", None)), [1, 3]),
    (atom("teams.name", ("=", None)), [3]),  # no team is like one without values
    (atom("teams.name", ("!=", None)), [1, 2]),
    (atom("teams.name", ("in", ["x", None])), [1, 3]),
    (atom("teams.name", ("in", [])), []),
    (atom("teams.name", ("not in", ["y"])), [1]),
    (atom("teams.name", ("between", ("x", "xx"))), [1]),
    (atom("teams.members.name", ("=", "B")), [1, 2]),  # via a team that B is in
    (atom("teams.members.name", ("=", "B")) & _team("x"), []),
    (atom("teams.members.name", ("=", "B")) & _some("x"), [1]),
    (atom("staff.teams.name", ("=", "y")), [1]),
    (atom("boss.teams.name", ("=", "x")), [2]),
    (atom("boss.teams.name", ("=", "x")) & atom("boss.teams.&.role", ("=", "r2")), []),
    (atom("staff.desk.number", ("=", 1)), [2]),
    (atom("teams.members", ("exist", {"name": "B"})), [1, 2]),
    (atom("teams.members", ("exist", {"name": "A"})) & ~_team("x"), [1, 2]),
    (atom("staff", ("exist", {"teams.name": "y"})), [1]),
    (atom("staff", ("exist", ~_team("y"))), []),
    (~atom("staff", ("exist", _team("y") & _role("r1"))), [2, 3]),
    (atom("teams.members.age", (">", iq.MatchExp.ref("age"))), [1]),
    (atom("teams.&.since", ("=", 2000)) & _team("y"), [1, 2]),
    (atom("teams.&.target.name", ("=", "x")), [1]),
    (atom("teams_links.role", ("=", "r2")), [1]),
]


@behaviour("S-A11")
@pytest.mark.parametrize(("match", "expected"), MATCHES)
def test_find(clubs: iq.Storage, match: Any, expected: list[int]) -> None:
    assert numbers(clubs, "Person", match) == expected
    assert clubs.count("Person", match) == len(expected)
    assert [row["id"] for row in clubs.find("Person", match, order_by={"id": "ASC"}, limit=1)] == expected[:1]


@behaviour("S-A11")
@pytest.mark.parametrize(("match", "expected"), MATCHES[:12])
def test_update_and_delete(clubs: iq.Storage, match: Any, expected: list[int]) -> None:
    assert [row["id"] for row in clubs.update("Person", match, {"gender": "none"})] == expected
    assert numbers(clubs, "Person", {"gender": "none"}) == expected
    assert [row["id"] for row in clubs.delete("Person", match)] == expected
    assert numbers(clubs, "Person") == [number for number in (1, 2, 3) if number not in expected]


@behaviour("S-A11")
def test_neighbours(clubs: iq.Storage) -> None:
    def members(match: Any, **modifier: Any) -> list[list[int]]:
        query = [("members", {"match_expression": match, "modifier": {"order_by": {"id": "ASC"}} | modifier})]
        found = clubs.find("Team", attribute_query=query, order_by={"id": "ASC"})
        return [[member["id"] for member in row["members"]] for row in found]

    assert members(_team("x")) == [[1], [1]]
    assert members(~_team("y")) == [[1], [1]]
    assert members(_team("x") & _team("y")) == [[], []]
    # the link by which the record was reached
    assert members({"&.role": "r1"}) == [[1], [2]]
    assert members({"&.role": "r1", "age": 1}) == [[1], []]
    assert members({"id": (">", 0)}, order_by={"&.role": "DESC"}) == [[1], [1, 2]]


@behaviour("S-A11")
def test_relations(clubs: iq.Storage) -> None:
    def pairs(match: Any) -> list[tuple[int, int]]:
        found = clubs.find("Membership", match, attribute_query=["source_id", "target_id"], order_by={"id": "ASC"})
        return [(row["source_id"], row["target_id"]) for row in found]

    assert pairs({"source.teams.name": "x"}) == [(1, 1), (1, 2)]
    assert pairs({"target.members.name": "B", "role": "r1"}) == [(2, 2)]
    assert len(clubs.remove_relation("Membership", {"source.teams.name": "x"})) == 2
    assert pairs(None) == [(2, 2)]


@behaviour("S-A11")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"match": {"teams.nme": "x"}}, "Team has no attribute 'nme'"),
        ({"match": {"teams.&.rle": "x"}}, "Membership has no attribute 'rle'"),
        ({"match": {"boss.&.role": "x"}}, "'&' stands for the relation's own row"),
        ({"match": {"&.role": "x"}}, "'&' stands for the relation's own row"),
        ({"match": {"teams": 1}}, "compare teams.id"),
        ({"match": {"teams.members": 1}}, "compare teams.members.id"),
        ({"match": {"age": ("=", iq.MatchExp.ref("staff.age"))}}, "staff.age leads to many records"),
        ({"match": {"teams.id": ("=", iq.MatchExp.ref("staff.age"))}}, "staff.age leads to many records"),
        ({"order_by": {"teams.name": "ASC"}}, "leads to many records; order by"),
        ({"order_by": {"teams.&.role": "ASC"}}, "leads to many records; order by"),
    ],
)
def test_what_cannot_be(clubs: iq.Storage, options: Any, message: str) -> None:
    with pytest.raises(iq.FrameworkError, match=message):
        clubs.find("Person", **options)
