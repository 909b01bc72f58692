"""The asynchronous storage does what the synchronous one does."""

from __future__ import annotations

import pytest

from interaqt_sa.errors import ConstraintViolationError
from interaqt_sa.storage import AsyncStorage
from tests.schema.shop import Membership, Settings


async def test_records(async_storage: AsyncStorage) -> None:
    await async_storage.create("Customer", {"id": 1, "fullName": "Ann", "orders": [{"id": 4, "total": 2}]})
    await async_storage.update("Order", {"id": 4}, {"total": 3})
    query = ["total", "customer.fullName"]
    assert await async_storage.find("Order", attribute_query=query) == [
        {"id": 4, "total": 3, "customer": {"id": 1, "fullName": "Ann"}}
    ]
    assert await async_storage.find_one("Order", {"total": 9}) is None
    await async_storage.create("Team", {"id": 1, "name": "x"})
    await async_storage.add_relation(Membership, 1, 1, {"role": "r"})
    assert len(await async_storage.remove_relation(Membership, {"role": "r"})) == 1
    assert [row["id"] for row in await async_storage.delete("Order", {"id": 4})] == [4]


async def test_dictionaries(async_storage: AsyncStorage) -> None:
    await async_storage.dictionary.set(Settings, {"open": False})
    assert await async_storage.dictionary.get("settings") == {"open": False}
    assert async_storage.schema.mapped_class("Order").__name__ == "Order"


async def test_transactions(async_storage: AsyncStorage) -> None:
    async def work(storage: AsyncStorage) -> None:
        await storage.create("Team", {"name": "x"})
        assert len(await storage.find("Team")) == 1
        await storage.run_in_transaction(lambda inner: inner.create("Team", {"name": "x"}))

    with pytest.raises(ConstraintViolationError) as caught:
        await async_storage.run_in_transaction(work, isolation="SERIALIZABLE")
    assert caught.value.constraint == "team_name"
    assert await async_storage.find("Team") == []


async def test_a_bound_storage_leaves_the_commit_to_its_session(async_storage: AsyncStorage) -> None:
    async with async_storage._session_factory() as session:
        bound = async_storage.with_session(session)
        await bound.create("Team", {"name": "x"})
        assert len(await bound.find("Team")) == 1
        await session.rollback()
    assert await async_storage.find("Team") == []
