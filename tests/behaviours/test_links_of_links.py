"""Relations that are ends of relations: S-A5."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import counts

_ENTITIES = [
    iq.Entity("Person", [iq.Property("name", str)]),
    iq.Entity("Team", [iq.Property("name", str)]),
    iq.Entity("Place", [iq.Property("city", str)]),
    iq.Entity("Match", [iq.Property("title", str)]),
]
_MEMBERSHIP = iq.Relation(
    name="Membership",
    source="Person",
    source_property="teams",
    target="Team",
    target_property="members",
    type="n:n",
    properties=[iq.Property("role", str)],
)
_RELATIONS = [
    _MEMBERSHIP,
    iq.Relation(
        name="Base", source="Membership", source_property="base", target="Place", target_property="member", type="1:1"
    ),
    iq.Relation(
        name="Playing",
        source="Membership",
        source_property="matches",
        target="Match",
        target_property="players",
        type="n:n",
        properties=[iq.Property("goals", int, default=0)],
    ),
    iq.Relation(
        name="Cheering", source="Person", source_property="cheers", target="Playing", target_property="fans", type="n:n"
    ),
]


@pytest.fixture
def teams(engine: Engine) -> iq.Storage:
    """Return a storage with a person in two teams, with a base in one of them and matches in both."""
    controller = iq.Controller(iq.System(engine), entities=_ENTITIES, relations=_RELATIONS)
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create(
        "Person",
        {
            "name": "a",
            "teams": [
                {"name": "x", "&": {"role": "r", "base": {"city": "Rome"}, "matches": [{"title": "m"}]}},
                {"name": "y", "&": {"matches": [{"title": "n", "&": {"goals": 2}}]}},
            ],
        },
    )
    return storage


@behaviour("S-A5")
def test_links_have_neighbours(teams: iq.Storage) -> None:
    assert counts(teams) == {"Person": 1, "Team": 2, "Place": 1, "Match": 2, "Membership": 2, "Playing": 2}
    link: Any = ("&", {"attribute_query": ["role", "base.city", ("matches", {"attribute_query": ["title"]})]})
    query: list[Any] = [("teams", {"attribute_query": ["name", link], "modifier": {"order_by": {"name": "ASC"}}})]
    found = teams.find_one("Person", {"id": 1}, attribute_query=query)
    assert found is not None
    first, second = (team["&"] for team in found["teams"])
    assert (first["role"], first["base"]["city"], [m["title"] for m in first["matches"]]) == ("r", "Rome", ["m"])
    assert (second["role"], second["base"], [m["title"] for m in second["matches"]]) == (None, None, ["n"])
    reverse: list[Any] = ["city", ("member", {"attribute_query": ["role", "source.name", "target.name"]})]
    place = teams.find_one("Place", attribute_query=reverse)
    assert place is not None
    assert (place["member"]["source"]["name"], place["member"]["target"]["name"]) == ("a", "x")


@behaviour("S-A5")
@pytest.mark.parametrize(
    ("record", "match", "expected"),
    [
        ("Membership", {"base.city": "Rome"}, 1),
        ("Membership", {"source.name": "a", "target.name": "y"}, 1),
        ("Membership", {"matches": ("exist", {"title": "n"})}, 1),
        ("Place", {"member.source.name": "a"}, 1),
        ("Place", {"member.target.name": "y"}, 0),
        ("Base", {"source.role": "r", "target.city": "Rome"}, 1),
        ("Base", {"source.target.name": "x"}, 1),
        ("Playing", {"source.source.name": "a", "goals": 2}, 1),
        ("Person", {"teams_links": ("exist", {"base.city": "Rome"})}, 1),
    ],
)
def test_paths_lead_over_links(teams: iq.Storage, record: str, match: Any, expected: int) -> None:
    assert teams.count(record, match) == len(teams.find(record, match)) == expected


@behaviour("S-A5")
def test_links_of_links_go_with_them(teams: iq.Storage) -> None:
    playing = teams.find_one("Playing", {"target.title": "n"})
    assert playing is not None
    teams.add_relation("Cheering", 1, playing["id"])
    told: list[tuple[str, str]] = []
    teams.listen(lambda _, events: told.extend((event.type, event.record_name) for event in events))
    teams.remove_relation("Membership", {"target.name": "y"})
    assert sorted(told) == [("delete", "Cheering"), ("delete", "Membership"), ("delete", "Playing")]
    told.clear()
    teams.remove_relation("Membership", {"target.name": "x"})
    assert sorted(told) == [
        ("delete", "Base"),
        ("delete", "Membership"),
        ("delete", "Playing"),
        *([("update", "Place")] if ("update", "Place") in told else []),
    ]
    assert counts(teams) == {"Person": 1, "Team": 2, "Place": 1, "Match": 2}


@behaviour("S-A5")
def test_links_are_ends_by_name(teams: iq.Storage) -> None:
    membership = teams.find_one("Membership", {"target.name": "y"})
    assert membership is not None
    teams.add_relation("Base", membership["id"], 1)  # which the other one had
    assert teams.find_relation("Base") == [{"source": {"id": membership["id"]}, "target": {"id": 1}}]
    teams.update_relation("Membership", {"id": membership["id"]}, {"base": {"city": "Oslo"}, "role": "s"})
    found = teams.find_relation("Membership", {"role": "s"}, attribute_query=["base.city", "source.name"])
    assert [(row["base"]["city"], row["source"]["name"]) for row in found] == [("Oslo", "a")]
