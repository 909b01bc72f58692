"""Data that could be read in several ways: S-A26, S-A29, S-A32, S-A40."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import counts, storage_of
from tests.support.statements import count_statements

_NOTES = iq.Entity("Note", [iq.Property("data", "object")])


@pytest.fixture
def people(engine: Engine) -> iq.Storage:
    """Return a storage with persons 1 and 2, and a team."""
    storage = storage_of(engine, entities=[_NOTES])
    for name in "ab":
        storage.create("Person", {"name": name})
    storage.create("Team", {"name": "t"})
    return storage


@contextmanager
def refused(storage: iq.Storage, engine: Engine, message: str, *, reads: bool = False) -> Iterator[None]:
    before = counts(storage)
    with count_statements(engine) as statements, pytest.raises(iq.DefinitionFault, match=message) as caught:
        yield
    assert [text for text in statements if not reads or not text.startswith("SELECT")] == []
    assert caught.value.record or caught.value.property
    assert counts(storage) == before


@behaviour("S-A26")
@pytest.mark.parametrize("data", [{"boss": {"id": 1, "name": "x"}}, {"teams": [{"id": 1, "name": "x"}]}])
def test_a_reference_has_its_key_and_nothing_else(people: iq.Storage, engine: Engine, data: Any) -> None:
    for write in (lambda: people.create("Person", data), lambda: people.update("Person", {"id": 2}, data)):
        with refused(people, engine, "already; to refer to it give its key alone", reads=True):
            write()


@behaviour("S-A29")
def test_one_neighbour_is_no_list(people: iq.Storage, engine: Engine) -> None:
    with refused(people, engine, "Person.boss: give a neighbour as a mapping"):
        people.create("Person", {"boss": [{"id": 1}]})
    with refused(people, engine, "Person.boss: give a neighbour as a mapping"):
        people.create("Team", {"members": [{"boss": [{"name": "x"}]}]})
    with refused(people, engine, "Person.teams leads to many records: give a list"):
        people.create("Person", {"teams": {"id": 1}})


@behaviour("S-A29")
def test_foreign_keys_are_attributes(people: iq.Storage, engine: Engine) -> None:
    assert people.create("Person", {"name": "c", "boss_id": 1}) == {"id": 3, "name": "c", "boss_id": 1}
    found = people.find_one("Person", {"boss_id": 1}, attribute_query=["*", "boss.name"])
    assert found is not None
    assert (found["boss_id"], found["boss"]) == (1, {"id": 1, "name": "a"})
    told: list[Any] = []
    people.listen(lambda _, events: told.extend((event.type, event.record_name) for event in events))
    people.update("Person", {"id": 2}, {"boss_id": "1"})
    assert told == [("update", "Person"), ("create", "Person_boss_staff_Person")]
    people.create("Person", {"boss_id": 1, "boss": {"id": "1"}})  # both say the same
    people.update("Person", {"id": 2}, {"boss_id": None, "boss": None})
    with pytest.raises(iq.ConstraintViolationError):
        people.create("Person", {"boss_id": 99})


@behaviour("S-A40")
@pytest.mark.parametrize(
    "data",
    [
        {"boss_id": 1, "boss": {"id": 2}},
        {"boss": None, "boss_id": 1},
        {"boss_id": None, "boss": {"id": 1}},
        {"boss_id": 1, "boss": {"name": "new"}},
    ],
)
def test_a_foreign_key_and_another_neighbour(people: iq.Storage, engine: Engine, data: Any) -> None:
    for write in (
        lambda: people.create("Person", data),
        lambda: people.update("Person", {"id": 2}, data),
        lambda: people.create("Team", {"members": [data]}),
    ):
        with refused(people, engine, "Person.boss_id and Person.boss are the same relation"):
            write()


@behaviour("S-A29")
def test_links_have_ids_in_queries_and_not_in_answers_of_writes(people: iq.Storage) -> None:
    made = people.create("Person", {"teams": [{"id": 1, "&": {"role": "x"}}, {"name": "new"}]})
    assert made == {"id": 3, "teams": [{"id": 1, "&": {"role": "x"}}, {"id": 2, "name": "new"}]}
    found = people.find_one("Person", {"id": 3}, attribute_query=[("teams", {"attribute_query": [("&", {})]})])
    assert found is not None
    numbers = [team["&"]["id"] for team in found["teams"]]
    assert people.find("Membership", {"source.id": 3}, order_by={"target_id": "ASC"}) == [{"id": n} for n in numbers]
    assert people.add_relation("Membership", 1, 1)["id"] not in numbers


@behaviour("S-A32")
def test_contradictory_links(people: iq.Storage, engine: Engine) -> None:
    people.update("Person", {"id": 1}, {"teams": [{"id": 1, "&": {"role": "x"}}, {"id": "1", "&": {"role": "x"}}]})
    assert people.count("Membership") == 1
    for other in ({"id": 1}, {"id": 1, "&": {"role": "y"}}):
        with refused(people, engine, "refers to Team .* twice, with different links"):
            people.update("Person", {"id": 2}, {"teams": [{"id": 1, "&": {"role": "x"}}, other]})


class _Awaitable:
    def __await__(self) -> Iterator[None]:
        yield


_PLACES: list[Callable[[iq.Storage, Any], Any]] = [
    lambda s, v: s.create("Person", v),
    lambda s, v: s.create("Person", {"name": v}),
    lambda s, v: s.create("Person", {"boss": v}),
    lambda s, v: s.create("Person", {"boss_id": v}),
    lambda s, v: s.create("Person", {"teams": v}),
    lambda s, v: s.create("Person", {"teams": [v]}),
    lambda s, v: s.create("Person", {"teams": [{"id": v}]}),
    lambda s, v: s.create("Person", {"teams": [{"id": 1, "&": v}]}),
    lambda s, v: s.create("Person", {"teams": [{"id": 1, "&": {"role": v}}]}),
    lambda s, v: s.create("Person", {"boss": {"staff": [{"age": v}]}}),
    lambda s, v: s.create("Note", {"data": v}),
    lambda s, v: s.create("Note", {"data": {"a": [v]}}),
    lambda s, v: s.update("Person", {"id": 1}, {"age": v}),
    lambda s, v: s.update("Person", {"id": v}, {"age": 1}),
    lambda s, v: s.find("Person", {"boss.age": (">", v)}),
    lambda s, v: s.find("Person", {"boss.age": ("in", v)}),
    lambda s, v: s.find("Person", {"boss.age": ("in", [v])}),
    lambda s, v: s.add_relation("Membership", 1, v),
    lambda s, v: s.update_relation("Membership", {"source.id": 1}, {"role": v}),
]


@behaviour("S-A40")
@pytest.mark.parametrize("place", range(len(_PLACES)))
def test_values_that_have_to_be_awaited(people: iq.Storage, engine: Engine, place: int) -> None:
    async def later() -> int:
        return 1

    loop = asyncio.new_event_loop()
    for make in (later, _Awaitable, loop.create_future):
        value: Any = make()
        with refused(people, engine, "coroutine|_Awaitable|Future"):
            _PLACES[place](people, value)
        if hasattr(value, "close"):
            value.close()
    loop.close()


@behaviour("S-A40")
async def test_values_that_have_to_be_awaited_async(async_engine: AsyncEngine) -> None:
    controller = iq.AsyncController(iq.AsyncSystem(async_engine), entities=[_NOTES])
    await controller.setup(install=True)
    storage = controller.system.storage
    waiting = storage.create("Note", {})
    with pytest.raises(iq.InvalidValueError, match=r"Note\.data .*coroutine"):
        await storage.create("Note", {"data": {"first": waiting}})
    await waiting
    assert await storage.count("Note") == 1
