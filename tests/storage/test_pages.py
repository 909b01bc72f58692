"""Pages that go on behind a cursor, counts, and records one after the other."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq

_PROPERTIES = [
    iq.Property("name", str),
    iq.Property("rank", int),
    iq.Property("weight", "number"),
    iq.Property("price", Decimal),
    iq.Property("is_new", bool),
    iq.Property("at", "timestamp"),
    iq.Property("made", datetime),
    iq.Property("code", UUID),
]


def _definitions() -> dict[str, Any]:
    item, box = iq.Entity("Item", _PROPERTIES), iq.Entity("Box", [iq.Property("label", str)])
    boxes = iq.Relation(source=box, source_property="items", target=item, target_property="box", type="1:n")
    return {"entities": [item, box], "relations": [boxes]}


@pytest.fixture
def storage(engine: Engine) -> iq.Storage:
    controller = iq.Controller(iq.System(engine), **_definitions())
    controller.setup(install=True)
    storage, random = controller.system.storage, Random(1)
    for label in ("a", "b", None):
        storage.create("Box", {"label": label})
    for n in range(40):
        storage.create("Item", _item(n, random))
    return storage


def _item(n: int, random: Random) -> dict[str, Any]:
    return {
        "name": random.choice([None, "a", "b", "ä", "A"]),
        "rank": random.choice([None, 1, 2, 3]),
        "weight": random.choice([None, 0.1, -2.5, 1e300]),
        "price": random.choice([None, Decimal("1.10"), Decimal("-3.5")]),
        "is_new": random.choice([None, True, False]),
        "at": random.choice([None, 1_700_000_000_123, 5]),
        "made": random.choice([None, datetime(2024, 1, 2, 3, 4, 5, 678901, UTC)]),
        "code": random.choice([None, UUID(int=7), UUID(int=n)]),
        "box": random.choice([None, {"id": 1}, {"id": 2}, {"id": 3}]),
    }


def _pages(storage: iq.Storage, limit: int, **options: Any) -> list[int]:
    found: list[int] = []
    cursor = None
    while page := storage.find("Item", limit=limit, after=cursor, **options):
        assert len(page) <= limit
        found += [row["id"] for row in page]
        cursor = page.cursor
    assert page.cursor is None
    return found


_ORDERS: list[Any] = [
    {},
    {"id": "DESC"},
    *({prop.name: direction} for prop in _PROPERTIES for direction in ("ASC", "DESC")),
    {"box.label": "ASC"},
    {"box.label": "DESC", "rank": "ASC", "name": "DESC"},
    {"rank": "DESC", "id": "DESC", "weight": "ASC"},
]


@pytest.mark.parametrize("limit", [1, 7, 40, 100])
def test_pages_are_the_whole_in_the_order_of_the_database(storage: iq.Storage, limit: int) -> None:
    for order in _ORDERS:
        whole = storage.find("Item", order_by=order | ({} if "id" in order else {"id": "ASC"}))
        assert _pages(storage, limit, order_by=order) == [row["id"] for row in whole], order


def test_a_match_and_neighbours(storage: iq.Storage) -> None:
    match = {"box.label": ("is not null",), "rank": (">", 1)}
    expected = [row["id"] for row in storage.find("Item", match, order_by={"rank": "ASC", "id": "ASC"})]
    query = ["box.items.name", "box.items.box"]
    assert _pages(storage, 3, match=match, order_by={"rank": "ASC"}, attribute_query=query) == expected
    assert storage.count("Item", match) == len(expected)


def test_what_comes_and_goes_meanwhile_moves_nothing(storage: iq.Storage) -> None:
    first = storage.find("Item", limit=10)
    storage.delete("Item", {"id": ("<", 5)})
    second = storage.find("Item", limit=10, after=first.cursor)
    assert [row["id"] for row in second] == list(range(11, 21))
    assert storage.find("Item", limit=10, offset=2, after=first.cursor)[0] == {"id": 13}
    assert len(storage.find("Item", after=second.cursor)) == 20
    assert storage.find("Item").cursor is None


def _forged(**changes: Any) -> str:
    found = {"order": [["id", False]], "values": [1], **changes}
    return urlsafe_b64encode(json.dumps(found).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "ü", "bm90aGluZw", 3, b"e30", "e30"),
        *(_forged(values=[]), _forged(values=[[1]]), _forged(values=["one"]), _forged(values=[{"float": "x"}])),
        *(
            _forged(order=[["rank", False]]),
            _forged(order=[]),
            _forged(values=[{"decimal": "x"}]),
            _forged(values=[{}]),
        ),
        *(_forged(values=[{"os.system": "x"}]), "[" * 100_000, _forged(values=[True])),
    ],
    ids=lambda cursor: str(cursor)[:20],
)
def test_what_is_not_a_cursor(storage: iq.Storage, cursor: Any) -> None:
    with pytest.raises(iq.InvalidValueError) as caught:
        storage.find("Item", limit=1, after=cursor)
    assert caught.value.context["code"] in ("INVALID_CURSOR", "INVALID_VALUE")


def test_a_cursor_is_that_of_its_order(storage: iq.Storage) -> None:
    cursor = storage.find("Item", limit=1, order_by={"rank": "ASC"}).cursor
    with pytest.raises(iq.InvalidValueError, match="another order, by rank ASC, id ASC"):
        storage.find("Item", limit=1, order_by={"rank": "DESC"}, after=cursor)


def test_counts(storage: iq.Storage) -> None:
    assert storage.count("Item") == 40
    matches: list[Any] = [{"rank": 1}, {"box.label": "a"}, {"box": ("exist", {"label": "b"})}, {"id": ("in", [])}]
    for match in matches:
        assert storage.count("Item", match) == len(storage.find("Item", match))
    assert storage.count(storage.schema.mapped_class("Item"), lambda item: item.rank > 1) == len(
        storage.find("Item", {"rank": (">", 1)})
    )
    for record, match in (("Itme", None), ("Item", {"rnk": 1})):
        with pytest.raises(iq.DefinitionFault):
            storage.count(record, match)


@pytest.mark.parametrize("batch", [1, 7, 40, 41, 1000])
def test_records_one_after_the_other(storage: iq.Storage, batch: int) -> None:
    order: Any = {"rank": "DESC"}
    found = list(storage.iterate("Item", {"id": (">", 3)}, attribute_query=["rank"], order_by=order, batch=batch))
    expected = storage.find("Item", {"id": (">", 3)}, attribute_query=["rank"], order_by=order | {"id": "ASC"})
    assert found == expected


def test_records_are_read_as_they_are_wanted(storage: iq.Storage, engine: Engine) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    found = storage.iterate("Item", batch=10)
    assert statements == []
    assert [next(found)["id"] for _ in range(10)] == list(range(1, 11))
    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(selects) == 1
    storage.delete("Item", {"id": (">", 0)})  # no transaction is open
    assert list(found) == []
    for wrong in (0, -1, "10", None, True):
        with pytest.raises(iq.InvalidValueError, match="batch must be a number of records"):
            storage.iterate("Item", batch=wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_in_a_transaction_it_sees_what_that_has_written(storage: iq.Storage) -> None:
    def work(inner: iq.Storage) -> int:
        inner.create("Item", {"name": "new"})
        return len(list(inner.iterate("Item", batch=6)))

    assert storage.run_in_transaction(work) == 41


async def test_async(async_engine: AsyncEngine) -> None:
    controller = iq.AsyncController(iq.AsyncSystem(async_engine), **_definitions())
    await controller.setup(install=True)
    storage = controller.system.storage
    for n in range(5):
        await storage.create("Item", {"rank": n})
    first = await storage.find("Item", limit=2, order_by={"rank": "DESC"})
    second = await storage.find("Item", limit=2, order_by={"rank": "DESC"}, after=first.cursor)
    assert [row["id"] for row in second] == [3, 2]
    assert await storage.count("Item", {"rank": (">", 2)}) == 2
    assert [row["id"] async for row in storage.iterate("Item", batch=2)] == [1, 2, 3, 4, 5]
