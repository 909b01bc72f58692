"""Listeners of writes: once for each, inside the transaction, whoever writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState

Write = Callable[[iq.System, Session], Any]
Told = list[list[tuple[str, str, Any]]]


def _definitions() -> dict[str, Any]:
    shop = iq.Entity(
        "Shop", [iq.Property("name", str), iq.Property("stock", int, computation=iq.Summation("items", "amount"))]
    )
    item = iq.Entity("Item", [iq.Property("amount", int, default=0)])
    entry = iq.Entity("Entry", [iq.Property("text", str)])  # nothing is computed from it
    shipped = iq.EventSource("ship", iq.Entity("Shipped", [iq.Property("amount", int)]), after_dispatch=_ship)
    items = iq.Relation(source=shop, source_property="items", target=item, target_property="shop", type="1:n")
    return {"entities": [shop, item, entry], "relations": [items], "event_sources": [shipped]}


def _ship(ctx: iq.DispatchContext, args: iq.Args, data: Any) -> None:
    ctx.storage.create("Item", {"amount": 1, "shop": {"id": 1}})


@pytest.fixture
def controller(engine: Engine) -> iq.Controller:
    controller = iq.Controller(iq.System(engine), **_definitions())
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create("Shop", {"name": "a", "items": [{"amount": 2}]})
    storage.create("Entry", {"text": "first"})
    return controller


@pytest.fixture
def told(controller: iq.Controller) -> Iterator[Told]:
    """Return what listeners are told: for each write, kind, record and id of each event."""
    found: Told = []

    def hear(storage: iq.Storage, events: tuple[iq.MutationEvent, ...]) -> None:
        rows = [event for event in events if "id" in event.record]  # links that a foreign key holds have none
        found.append([(event.type, event.record_name, event.record["id"]) for event in rows])

    handle = controller.system.storage.listen(hear)
    yield found
    handle.remove()


def _class(system: iq.System, name: str) -> Any:
    return system.schema.mapped_class(name)


def _add(system: iq.System, session: Session) -> None:
    session.add(_class(system, "Item")(amount=3, shop_id=1))
    session.flush()


WRITES: dict[str, tuple[Write, list[tuple[str, str, Any]]]] = {
    "flush": (_add, [("create", "Item", 2), ("update", "Shop", 1)]),
    "bulk insert": (
        lambda system, s: s.execute(insert(_class(system, "Item")), [{"amount": 3, "shop_id": 1}]),
        [("create", "Item", 2), ("update", "Shop", 1)],
    ),
    "bulk update": (
        lambda system, s: s.execute(update(_class(system, "Item")).values(amount=9)),
        [("update", "Item", 1), ("update", "Shop", 1)],
    ),
    "bulk delete": (
        lambda system, s: s.execute(delete(_class(system, "Item"))),
        [("delete", "Item", 1), ("update", "Shop", 1)],
    ),
    "storage": (
        lambda system, s: system.storage.with_session(s).create("Item", {"amount": 3, "shop": {"id": 1}}),
        [("create", "Item", 2), ("update", "Shop", 1)],
    ),
    "storage with several flushes": (
        lambda system, s: system.storage.with_session(s).create("Item", {"id": 70, "shop": {"name": "b"}}),
        [("create", "Shop", 2), ("create", "Item", 70)],
    ),
    "a record of which nothing is computed": (
        lambda system, s: s.execute(update(_class(system, "Entry")).values(text="second")),
        [("update", "Entry", 1)],
    ),
    "the same by storage": (
        lambda system, s: system.storage.with_session(s).delete("Entry", {"id": 1}),
        [("delete", "Entry", 1)],
    ),
}


@pytest.mark.parametrize(("write", "events"), WRITES.values(), ids=WRITES)
def test_each_write_is_told_once(controller: iq.Controller, told: Told, write: Write, events: Any) -> None:
    with controller.system.session_factory.begin() as session:
        write(controller.system, session)
    assert told == [events]


@pytest.mark.parametrize("write", [write for write, _ in WRITES.values()], ids=WRITES)
def test_an_error_undoes_the_write(controller: iq.Controller, write: Write) -> None:
    system = controller.system

    def hear(storage: iq.Storage, events: tuple[iq.MutationEvent, ...]) -> None:
        raise LookupError

    before = _all(system)
    handle = system.storage.listen(hear)
    with pytest.raises(LookupError), system.session_factory.begin() as session:
        write(system, session)
    handle.remove()
    assert _all(system) == before
    with system.session_factory.begin() as session:
        write(system, session)
    assert _all(system) != before
    assert system.check().ok


def test_calls_and_dispatches_in_transactions_of_their_own(controller: iq.Controller, told: Told) -> None:
    storage = controller.system.storage
    storage.update("Item", {"id": 1}, {"amount": 5})
    assert told.pop() == [("update", "Item", 1), ("update", "Shop", 1)]
    controller.dispatch("ship", {}).raise_for_error()
    assert told == [[("create", "Shipped", 1)], [("create", "Item", 2), ("update", "Shop", 1)]]


def test_events_hold_whole_rows_as_they_were_and_are(controller: iq.Controller) -> None:
    found: list[iq.MutationEvent] = []
    controller.system.storage.listen(lambda _, events: found.extend(events))
    controller.system.storage.update("Item", {"id": 1}, {"amount": 5})
    item, shop = found
    assert (item.record, item.old_record, item.keys) == (
        {"id": 1, "amount": 5, "shop_id": 1},
        {"id": 1, "amount": 2, "shop_id": 1},
        frozenset({"amount"}),
    )
    assert shop.record["stock"] == 5
    assert shop.keys == frozenset({"stock"})


@pytest.mark.parametrize("write", [write for write, _ in WRITES.values()], ids=WRITES)
def test_a_listener_may_read_and_write(controller: iq.Controller, told: Told, write: Write) -> None:
    system = controller.system

    def hear(storage: iq.Storage, events: tuple[iq.MutationEvent, ...]) -> None:
        for event in events:
            if event.record_name != "Entry" and "id" in event.record:
                storage.create("Entry", {"text": f"{event.type} {event.record_name}"})

    system.storage.listen(hear)
    with system.session_factory.begin() as session:
        write(system, session)
        in_transaction = len(system.storage.with_session(session).find("Entry"))
    entries = system.storage.find("Entry", {"id": (">", 1)}, attribute_query=["text"])
    expected = [f"{kind} {record}" for kind, record, _ in told[0] if record != "Entry"]
    assert [entry["text"] for entry in entries] == expected
    assert len(system.storage.find("Entry")) == in_transaction
    assert len(told) == 1 + len(expected)


def test_what_is_taken_back_is_not_told_again(controller: iq.Controller, told: Told) -> None:
    system = controller.system
    with system.session_factory.begin() as session:
        inner = system.storage.with_session(session)
        savepoint = session.begin_nested()
        inner.create("Entry", {"text": "a"})
        savepoint.rollback()
        inner.create("Entry", {"text": "b"})
    assert [[kind for kind, *_ in events] for events in told] == [["create"], ["create"]]


def test_a_listener_begins_with_the_next_write(controller: iq.Controller) -> None:
    system = controller.system
    found: list[str] = []
    with system.session_factory.begin() as session:
        inner = system.storage.with_session(session)
        inner.create("Item", {"shop": {"id": 1}})
        handle = system.storage.listen(lambda _, events: found.extend(event.record_name for event in events))
        inner.create("Entry", {"text": "a"})
        handle.remove()
        handle.remove()
        inner.create("Item", {"shop": {"id": 1}})
    assert found == ["Entry"]


def test_without_a_listener_nothing_is_read_for_events(controller: iq.Controller) -> None:
    system = controller.system
    system.storage.listen(lambda _storage, _events: None).remove()
    with system.session_factory.begin() as session:
        system.storage.with_session(session).create("Entry", {"text": "a"})
        assert SessionState.of(session).transaction.events == []


def test_a_storage_without_a_system(controller: iq.Controller) -> None:
    system = controller.system
    lonely = iq.Storage(system.session_factory, system.schema)
    with pytest.raises(iq.FrameworkError, match="belongs to no system"):
        lonely.listen(lambda _storage, _events: None)


async def test_async(async_engine: AsyncEngine) -> None:
    given = _definitions()
    del given["event_sources"]
    controller = iq.AsyncController(iq.AsyncSystem(async_engine), **given)
    await controller.setup(install=True)
    storage = controller.system.storage
    found: list[list[str]] = []

    async def hear(inner: iq.AsyncStorage, events: tuple[iq.MutationEvent, ...]) -> None:
        found.append([event.record_name for event in events if "id" in event.record])
        if events[0].record_name == "Item":
            await inner.create("Entry", {"text": str(len(await inner.find("Item")))})

    handle = storage.listen(hear)
    plain = storage.listen(lambda _inner, _events: found.append(["plain"]))
    await storage.create("Item", {"shop": {"name": "a"}})
    plain.remove()
    async with controller.system.session_factory.begin() as session:
        item = controller.system.schema.mapped_class("Item")
        await session.execute(update(item).values(amount=4))
        session.add(item(amount=2))
        await session.flush()
    assert found == [["Shop", "Item"], ["plain"], ["Item", "Shop"], ["Entry"], ["Item"], ["Entry"]]
    entries = await storage.find("Entry", attribute_query=["text"], order_by={"id": "ASC"})
    assert [entry["text"] for entry in entries] == ["1", "2"]
    handle.remove()
    found.clear()
    await storage.create("Item", {"amount": 1})
    assert found == []


def _all(system: iq.System) -> list[Any]:
    with system.session_factory() as session:
        tables = system.metadata.sorted_tables
        return [session.execute(select(table).order_by(*table.primary_key)).all() for table in tables]
