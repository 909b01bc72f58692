"""Values by concept and key: S-A86."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import storage_of


@behaviour("S-A86")
@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, {"ä": [None, "日本"]}, "text", 1.5, 2**60], ids=repr)
def test_a_value_is_kept_under_its_key(storage: iq.Storage, value: Any) -> None:
    assert storage.get("größe", "日本") is None
    assert storage.get("größe", "日本", "first") == "first"
    assert storage.get("größe", "日本") is None  # asking writes nothing
    storage.set("größe", "日本", "old")
    storage.set("größe", "日本", value)
    found = storage.get("größe", "日本", "first")
    assert found == value
    assert type(found) is type(value)
    assert storage.get("größe", "other", "first") == storage.get("other", "日本", "first") == "first"


@behaviour("S-A86")
def test_values_take_part_in_transactions_and_are_told(storage: iq.Storage) -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    storage.listen(lambda _, events: told.extend((event.type, dict(event.record)) for event in events))

    def work(inside: iq.Storage) -> None:
        inside.set("a", "b", 2)
        assert inside.get("a", "b") == 2
        raise LookupError

    storage.set("a", "b", 1)
    storage.set("a", "b", 1)
    with pytest.raises(LookupError):
        storage.run_in_transaction(work)
    assert storage.get("a", "b") == 1
    row = {"concept": "a", "key": "b"}
    assert told == [("create", row | {"value": 1}), ("update", row | {"value": 2})]


@behaviour("S-A86")
@pytest.mark.parametrize(
    ("concept", "key", "value"),
    [(1, "b", 1), ("a", None, 1), ("a", "b", float("nan")), ("a", "b", object()), ("a\udc00", "b", 1)],
    ids=["number", "none", "nan", "object", "surrogate"],
)
def test_what_cannot_be_kept_is_refused(storage: iq.Storage, concept: Any, key: Any, value: Any) -> None:
    with pytest.raises(iq.InvalidValueError, match=r"InteraqtValue|is a text") as caught:
        storage.set(concept, key, value)
    assert caught.value.code in ("INVALID_KEY", "INVALID_VALUE")


@behaviour("S-A86")
@pytest.mark.concurrency
def test_the_first_value_is_written_once(storage: iq.Storage, engine: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(storage.set, ["a"] * 8, ["b"] * 8, range(8)))
    assert storage.get("a", "b") in range(8)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM interaqt_values")) == 1


def test_a_system_without_definitions_has_no_values(engine: Engine) -> None:
    storage = iq.System(engine, base=MetaData()).storage
    with pytest.raises(iq.DefinitionFault, match=r"compile_schema\(base\) adds"):
        storage.get("a", "b")
    assert storage_of(engine).get("a", "b", 1) == 1


@behaviour("S-A86")
async def test_values_are_awaited(async_engine: AsyncEngine) -> None:
    schema = iq.compile_schema(MetaData())
    controller = iq.AsyncController(iq.AsyncSystem(async_engine, base=schema))
    await controller.setup(install=True)
    storage = controller.system.storage
    await storage.set("a", "b", {"c": "ü"})
    assert await storage.get("a", "b") == {"c": "ü"}
    assert await storage.get("a", "c", 1) == 1
