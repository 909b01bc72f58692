"""The asynchronous storage behaves as the synchronous one."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.behaviours import filtered
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import ENTITIES, RELATIONS


@pytest.fixture
async def storage(async_engine: AsyncEngine) -> iq.AsyncStorage:
    """Return a storage over the whole domain, without records."""
    controller = iq.AsyncController(iq.AsyncSystem(async_engine), entities=ENTITIES, relations=RELATIONS)
    await controller.setup(install=True)
    return controller.system.storage


@behaviour("S-A4", "S-A14", "S-A18", "S-A19", "S-A25")
async def test_a_tree_is_made_and_read(storage: iq.AsyncStorage) -> None:
    await storage.create(
        "Person",
        {"name": "a", "teams": [{"name": "x", "&": {"role": "r"}}, {"name": "y"}], "powers": [{"charges": [{}]}]},
    )
    link = ("&", {"attribute_query": ["role", "since"]})
    first = {"attribute_query": ["name", link], "modifier": {"limit": 1, "order_by": {"name": "ASC"}}}
    (found,) = await storage.find(
        "Person", {"teams": ("exist", {"name": "y"})}, attribute_query=["label", ("teams", first), "powers.charges"]
    )
    (team,) = found.pop("teams")
    assert found == {"id": 1, "label": "<a>", "powers": [{"id": 1, "charges": [{"id": 1}]}]}
    assert (team["name"], team["&"]["role"], team["&"]["since"]) == ("x", "r", 2000)


@behaviour("S-A28", "S-A30", "S-A31", "S-A36")
async def test_neighbours_are_replaced(storage: iq.AsyncStorage) -> None:
    await storage.create("Person", {"desk": {}, "powers": [{}], "teams": [{}, {}]})
    await storage.create("Person", {"desk": {"id": 1}, "powers": [{"id": 1}], "teams": [{"id": 1}]})
    await storage.update("Person", {"id": 1}, {"teams": [{"id": 2}]})
    found = await storage.find("Person", attribute_query=["desk", "powers", "teams"], order_by={"id": "ASC"})
    assert found == [
        {"id": 1, "desk": None, "powers": [], "teams": [{"id": 2}]},
        {"id": 2, "desk": {"id": 1}, "powers": [{"id": 1}], "teams": [{"id": 1}]},
    ]
    with pytest.raises(iq.FrameworkError, match="exists only with its owner"):
        await storage.update("Person", {"id": 2}, {"powers": None})
    await storage.delete("Person", {"id": 2})
    assert await storage.find("Power") == []


@behaviour("S-A39", "S-A40", "S-A77")
async def test_ids_and_refusals(storage: iq.AsyncStorage) -> None:
    await storage.create("Team", {"id": 70})
    made = await asyncio.gather(*(storage.create("Team", {"members": [{}]}) for _ in range(8)))
    assert {row["id"] for row in made} == set(range(71, 79))
    with pytest.raises(iq.FrameworkError, match="nam"):
        await storage.create("Team", {"members": [{"nam": "a"}]})
    assert len(await storage.find("Person")) == 8


@behaviour("S-A79", "S-A80")
async def test_transactions(storage: iq.AsyncStorage) -> None:
    attempts: list[str] = []

    async def work(inside: iq.AsyncStorage) -> None:
        await inside.create("Team", {"name": "a"})
        attempts.append("")
        if len(attempts) == 1:
            raise iq.RequireSerializableRetry
        await inside.run_in_transaction(lambda inner: inner.create("Team", {"name": "b"}))

    await storage.run_in_transaction(work)
    assert len(attempts) == 2
    assert len(await storage.find("Team")) == 2


@behaviour("S-A44", "S-A45", "S-A46", "S-A48")
async def test_members_enter_and_leave(async_engine: AsyncEngine) -> None:
    controller = iq.AsyncController(
        iq.AsyncSystem(async_engine),
        entities=filtered.ENTITIES,
        relations=filtered.RELATIONS,
        dictionaries=filtered.DICTIONARIES,
    )
    await controller.setup(install=True)
    storage = controller.system.storage
    told: list[str] = []
    storage.listen(lambda _, events: told.extend(f"{event.type} {event.record_name}" for event in events))
    data = {"age": 40, "orders": [{"amount": 100}], "teams": [{"name": "x", "&": {"role": "lead"}}]}
    await storage.create("Adult", {"name": "a", **data})
    assert {"create Adult", "create Big", "create Lead", "create AdultLead"} <= set(told)
    assert await storage.find("Team", {"leaders.name": "a"}, attribute_query=["lead_count"]) == [
        {"id": 1, "lead_count": 1}
    ]
    await storage.update("Big", {"id": 1}, {"age": 4})
    assert {"delete Adult", "delete Big", "delete AdultLead"} <= set(told)
    assert [await storage.count(name) for name in ("Person", "Adult", "Lead", "AdultLead")] == [1, 0, 1, 0]
    assert (await controller.system.check()).ok
