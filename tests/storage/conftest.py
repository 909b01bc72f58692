"""A storage over the shop, on an empty database."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, event
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import sessionmaker

from interaqt_sa.storage import AsyncStorage, Storage
from tests.schema.shop import compiled


@pytest.fixture
def storage(engine: Engine) -> Storage:
    """Return a storage whose calls have transactions of their own."""
    _enforce_foreign_keys(engine)
    schema = compiled(MetaData())
    schema.metadata.create_all(engine)
    return Storage(sessionmaker(engine), schema)


@pytest.fixture
async def async_storage(async_engine: AsyncEngine) -> AsyncStorage:
    """Return the asynchronous twin."""
    _enforce_foreign_keys(async_engine.sync_engine)
    schema = compiled(MetaData())
    async with async_engine.begin() as connection:
        await connection.run_sync(schema.metadata.create_all)
    factory = async_sessionmaker(async_engine)
    return AsyncStorage(factory, Storage(sessionmaker(async_engine.sync_engine), schema))


def _enforce_foreign_keys(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":

        def switch_on(dbapi: Any, _: Any) -> None:
            cursor = dbapi.cursor()
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.close()

        event.listen(engine, "connect", switch_on)
