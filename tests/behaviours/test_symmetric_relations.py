"""Relations whose ends are not told apart: S-A6, S-A8, S-A32."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import counts, numbers

_PERSON = iq.Entity("Person", [iq.Property("name", str)])
_FRIENDS = iq.Relation(
    name="Friendship",
    source="Person",
    source_property="friends",
    target="Person",
    target_property="friends",
    type="n:n",
    properties=[iq.Property("level", int, default=1)],
)


@pytest.fixture
def friends(engine: Engine) -> iq.Storage:
    """Return a storage with persons 1 to 4; 1 is a friend of 2 (level 5), 3 (1) and itself (9), 2 of 4 (1)."""
    controller = iq.Controller(iq.System(engine), entities=[_PERSON], relations=[_FRIENDS])
    controller.setup(install=True)
    storage = controller.system.storage
    for name in "abcd":
        storage.create("Person", {"name": name})
    storage.add_relation("Friendship", 2, 1, {"level": 5})
    storage.update("Person", {"id": 3}, {"friends": [{"id": 1}]})
    storage.add_relation("Friendship", 2, 4)
    storage.add_relation("Friendship", 1, 1, {"level": 9})
    return storage


def _friends(storage: iq.Storage) -> dict[int, list[int]]:
    query: list[Any] = [("friends", {"modifier": {"order_by": {"id": "ASC"}}})]
    found = storage.find("Person", attribute_query=query, order_by={"id": "ASC"})
    return {row["id"]: [friend["id"] for friend in row["friends"]] for row in found}


def _links(storage: iq.Storage, match: Any = None) -> list[tuple[int, int]]:
    found = storage.find_relation("Friendship", match)
    return sorted((row["source"]["id"], row["target"]["id"]) for row in found)


@behaviour("S-A6")
def test_a_link_is_seen_from_both_ends(friends: iq.Storage) -> None:
    assert _friends(friends) == {1: [1, 2, 3], 2: [1, 4], 3: [1], 4: [2]}
    link: Any = ("&", {"attribute_query": ["level"]})
    query: list[Any] = [("friends", {"attribute_query": ["name", link], "modifier": {"order_by": {"id": "ASC"}}})]
    for person, expected in ((1, [("a", 9), ("b", 5), ("c", 1)]), (2, [("a", 5), ("d", 1)]), (3, [("a", 1)])):
        found = friends.find_one("Person", {"id": person}, attribute_query=query)
        assert found is not None
        assert [(row["name"], row["&"]["level"]) for row in found["friends"]] == expected
        assert all(row["&"].keys() == {"id", "level"} for row in found["friends"])
    limited: list[Any] = [("friends", {"modifier": {"order_by": {"id": "DESC"}, "limit": 1}})]
    found = friends.find_one("Person", {"id": 1}, attribute_query=limited)
    assert found == {"id": 1, "friends": [{"id": 3}]}


@behaviour("S-A6")
@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"friends": ("exist", {"name": "b"})}, [1, 4]),
        ({"friends": ("exist", {"name": "a"})}, [1, 2, 3]),
        (~iq.MatchExp.atom("friends", ("exist", {"name": "a"})), [4]),
        ({"friends": ("exist", {"friends": ("exist", {"name": "d"})})}, [1, 4]),
        ({"friends": ("exist", {"friends": ("exist", {"name": "c"})})}, [1, 2, 3]),
    ],
)
def test_both_directions_are_matched(friends: iq.Storage, match: Any, expected: list[int]) -> None:
    assert numbers(friends, "Person", match) == expected
    assert [row["id"] for row in friends.update("Person", match, {"name": "x"})] == expected


@behaviour("S-A6", "S-A32")
def test_one_row_for_two(friends: iq.Storage) -> None:
    assert _links(friends) == [(1, 1), (1, 2), (1, 3), (2, 4)]
    for pair in ((1, 2), (2, 1), (1, 1)):
        with pytest.raises(iq.ConstraintViolationError):
            friends.add_relation("Friendship", *pair)
    assert counts(friends) == {"Person": 4, "Friendship": 4}
    assert _links(friends, {"source.id": 2, "target.id": 1}) == [(1, 2)]
    assert _links(friends, {"source.name": "d"}) == [(2, 4)]
    assert friends.count("Friendship", {"source.id": 1}) == 3
    friends.update_relation("Friendship", {"source.id": 4, "target.id": 2}, {"level": 7})
    assert _links(friends, {"level": 7}) == [(2, 4)]
    assert len(friends.remove_relation("Friendship", {"source.id": 4})) == 1
    assert _friends(friends) == {1: [1, 2, 3], 2: [1], 3: [1], 4: []}


@behaviour("S-A6")
def test_lists_replace_links_of_both_directions(friends: iq.Storage) -> None:
    told: list[Any] = []
    friends.listen(lambda _, events: told.extend(events))
    friends.update("Person", {"id": 2}, {"friends": [{"id": 1}, {"name": "e", "&": {"level": 3}}, {"id": 3}]})
    assert _friends(friends) == {1: [1, 2, 3], 2: [1, 3, 5], 3: [1, 2], 4: [], 5: [2]}
    assert _links(friends, {"level": 5}) == [(1, 2)]  # it stays, with its values
    assert _links(friends, {"level": 3}) == [(2, 5)]
    links = [event for event in told if event.record_name == "Friendship"]
    pairs = [(event.type, event.record["source_id"], event.record["target_id"]) for event in links]
    assert sorted(pairs) == [("create", 2, 3), ("create", 2, 5), ("delete", 2, 4)]
    told.clear()
    friends.update("Person", {"id": 1}, {"friends": [{"id": 2, "&": {"level": 6}}]})
    assert _friends(friends) == {1: [2], 2: [1, 3, 5], 3: [2], 4: [], 5: [2]}
    assert [event.type for event in told].count("update") == 1
    friends.update("Person", {"id": 1}, {"friends": None})
    assert _friends(friends)[1] == []
    made = friends.create("Person", {"name": "f", "friends": [{"id": 1}, {"friends": [{"id": 2}, {"name": "h"}]}]})
    assert _friends(friends)[made["id"]] == [1, made["friends"][1]["id"]]


@behaviour("S-A6", "S-A35")
def test_links_end_with_either_record(friends: iq.Storage) -> None:
    told: list[Any] = []
    friends.listen(lambda _, events: told.extend(events))
    friends.delete("Person", {"id": 2})
    assert _links(friends) == [(1, 1), (1, 3)]
    assert sorted((event.type, event.record_name) for event in told) == [
        ("delete", "Friendship"),
        ("delete", "Friendship"),
        ("delete", "Person"),
    ]
    friends.delete("Person", {"id": 1})
    assert counts(friends) == {"Person": 2}


@behaviour("S-A6")
def test_sessions_write_links(friends: iq.Storage, engine: Engine) -> None:
    def work(session: Session) -> None:
        link, person = (friends.schema.mapped_class(name) for name in ("Friendship", "Person"))
        new = person(name="n")
        session.add(new)
        session.add(link(source=new, target=session.get(person, 3), level=2))
        session.add(link(source_id=4, target_id=3))
        session.flush()
        assert session.scalars(select(func.count()).select_from(link)).one() == 6

    friends.run_in_transaction(lambda inside: inside.read(work))
    assert _links(friends, {"source.id": 3}) == [(1, 3), (3, 4), (3, 5)]
    table = friends.schema.metadata.tables["friendship"]
    with engine.connect() as connection, pytest.raises(IntegrityError):
        connection.execute(table.insert().values(id=99, source_id=4, target_id=1, level=1))


@behaviour("S-A6")
def test_migrations_find_nothing_to_do(friends: iq.Storage, engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), friends.schema.metadata) == []


@behaviour("S-A8")
@pytest.mark.parametrize("kind", ["1:1", "1:n", "n:1"])
def test_only_many_can_be_symmetric(engine: Engine, kind: Any) -> None:
    relation = iq.Relation(
        source="Person", source_property="friends", target="Person", target_property="friends", type=kind
    )
    with pytest.raises(iq.DefinitionError) as caught:
        iq.Controller(iq.System(engine), entities=[_PERSON], relations=[relation])
    assert "symmetric, which only 'n:n' can be" in str(caught.value)


@behaviour("S-A6")
@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"friends.name": "b"}, [1, 4]),
        ({"friends.&.level": 5}, [1, 2]),
        ({"friends.friends.name": "d"}, [1, 4]),
        ({"friends.name": "a", "friends.&.level": 9}, [1]),
    ],
)
def test_paths_lead_over_both_ends(friends: iq.Storage, match: Any, expected: list[int]) -> None:
    assert numbers(friends, "Person", match) == expected
    assert friends.count("Person", match) == len(expected)

    def lock(inside: iq.Storage) -> list[int]:
        return [row["id"] for row in inside.atomic.lock_rows("Person", match)]

    assert friends.run_in_transaction(lock) == expected
