"""Single steps that no other transaction comes between: S-A75, S-A81 to S-A83."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, true
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.support.engines import EngineFactory

_ENTITIES = [
    iq.Entity(
        "Account",
        [
            iq.Property("owner", str),
            iq.Property("cents", int),
            iq.Property("rate", float),
            iq.Property("tags", "object"),
            iq.Property("is_open", bool, default=True),
            iq.Property("twice", int, computed=lambda account: (account.cents or 0) * 2),
        ],
    ),
    iq.Entity("Bank", [iq.Property("cents", int, computation=iq.Summation("accounts", "cents"))]),
]
_RELATIONS = [
    iq.Relation(source="Bank", source_property="accounts", target="Account", target_property="bank", type="1:n")
]


def _storage(engine: Engine) -> iq.Storage:
    controller = iq.Controller(iq.System(engine), entities=_ENTITIES, relations=_RELATIONS)
    controller.setup(install=True)
    storage = controller.system.storage
    storage.create("Bank", {"accounts": [{"owner": "a", "cents": 10, "tags": {"x": [1, 2]}}, {"owner": "b"}]})
    return storage


@pytest.fixture
def accounts(engine: Engine) -> iq.Storage:
    """Return a storage with a bank and its accounts 1 (10 cents) and 2 (no value)."""
    return _storage(engine)


def _once(storage: iq.Storage, operation: str, *arguments: Any, **more: Any) -> Any:
    return storage.run_in_transaction(lambda inside: getattr(inside.atomic, operation)(*arguments, **more))


def _row(storage: iq.Storage, record: str, id: int) -> dict[str, Any]:
    found = storage.find_one(record, {"id": id}, attribute_query=["*"])
    assert found is not None
    return found


@behaviour("S-A81")
def test_numbers_are_added_to(accounts: iq.Storage) -> None:
    told: list[iq.MutationEvent] = []
    accounts.listen(lambda _, events: told.extend(events))
    assert _once(accounts, "increment", "Account", 1, "cents") == 11
    assert _once(accounts, "increment", "Account", "1", "cents", by=-4) == 7
    assert _once(accounts, "increment", "Account", 2, "cents", 5) == 5
    assert _once(accounts, "increment", "Account", 1, "rate", 0.5) == 0.5
    assert _once(accounts, "get", "Account", 1, "cents") == 7
    assert _once(accounts, "get", "Account", 1, "twice") == 14  # what is computed follows
    assert _row(accounts, "Account", 1)["twice"] == 14
    assert _row(accounts, "Bank", 1)["cents"] == 12
    assert [(event.type, event.record_name) for event in told] == [
        *[("update", "Account"), ("update", "Bank")] * 3,
        ("update", "Account"),
    ]


@behaviour("S-A81")
def test_values_are_replaced(accounts: iq.Storage) -> None:
    assert _once(accounts, "replace", "Account", 1, "owner", "c") == "a"
    assert _once(accounts, "replace", "Account", 1, "owner", None) == "c"
    assert _once(accounts, "replace", "Account", 1, "owner", "d") is None
    assert _once(accounts, "replace", "Account", 1, "tags", [1]) == {"x": [1, 2]}
    assert _once(accounts, "compare_and_set", "Account", 1, "tags", [2], None) is False
    assert _once(accounts, "compare_and_set", "Account", 1, "tags", [1], {"b": 1, "a": 2}) is True
    assert _once(accounts, "compare_and_set", "Account", 1, "tags", {"a": 2, "b": 1}, None) is True
    assert _once(accounts, "compare_and_set", "Account", 2, "cents", 0, 1) is False
    assert _once(accounts, "compare_and_set", "Account", 2, "cents", None, 3) is True
    assert _once(accounts, "compare_and_set", "Account", 2, "is_open", True, False) is True
    assert _row(accounts, "Account", 2) | {"id": 2} == {
        "id": 2,
        "bank_id": 1,
        "owner": "b",
        "cents": 3,
        "rate": None,
        "tags": None,
        "is_open": False,
        "twice": 6,
    }
    assert _row(accounts, "Account", 1)["tags"] is None
    assert _row(accounts, "Bank", 1)["cents"] == 13


@behaviour("S-A81")
def test_loaded_records_have_the_new_values(accounts: iq.Storage) -> None:
    def work(inside: iq.Storage) -> None:
        def loaded(session: Any) -> Any:
            return session.get(accounts.schema.mapped_class("Account"), 1)

        account = inside.read(loaded)
        account.owner = "assigned"
        inside.atomic.increment("Account", 1, "cents", 5)
        assert (account.cents, account.twice, account.owner) == (15, 30, "assigned")
        account.cents = 1
        assert inside.atomic.increment("Account", 1, "cents") == 2  # what was assigned comes first
        assert inside.atomic.replace("Account", 1, "cents", 7) == 2
        assert (account.cents, account.twice) == (7, 14)

    accounts.run_in_transaction(work)
    assert _row(accounts, "Account", 1)["owner"] == "assigned"


_REFUSED: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("increment", ("Account", 9, "cents"), iq.DefinitionFault, "there is no Account with the key 9"),
    ("replace", ("Account", 9, "cents", 1), iq.DefinitionFault, "there is no Account with the key 9"),
    ("compare_and_set", ("Account", 9, "cents", 1, 2), iq.DefinitionFault, "there is no Account with the key 9"),
    ("get", ("Account", 9, "cents"), iq.DefinitionFault, "there is no Account with the key 9"),
    ("get", ("Account", None, "cents"), iq.InvalidValueError, "the key is id"),
    ("increment", ("Account", "x", "cents"), iq.InvalidValueError, "cannot be a key"),
    ("increment", ("Account", 1, "cent"), iq.DefinitionFault, "no attribute 'cent'; there is cents"),
    ("increment", ("Account", 1, "owner"), iq.DefinitionFault, "nothing can be added"),
    ("increment", ("Account", 1, "is_open"), iq.DefinitionFault, "nothing can be added"),
    ("increment", ("Account", 1, "cents", 0.5), iq.InvalidValueError, "Account.cents"),
    ("increment", ("Account", 1, "cents", float("nan")), iq.InvalidValueError, "by= is a number"),
    ("increment", ("Account", 1, "cents", "1"), iq.InvalidValueError, "by= is a number"),
    ("increment", ("Account", 1, "twice"), iq.ComputedWriteError, "Account.twice is computed by"),
    ("replace", ("Bank", 1, "cents", 1), iq.ComputedWriteError, "Bank.cents is computed by"),
    ("compare_and_set", ("Bank", 1, "cents", 1, 1), iq.ComputedWriteError, "Bank.cents is computed by"),
    ("replace", ("Account", 1, "bank_id", 1), iq.DefinitionFault, "is a key"),
    ("replace", ("Account", 1, "owner", 5), iq.InvalidValueError, "Account.owner"),
    ("compare_and_set", ("Account", 1, "owner", 5, "a"), iq.InvalidValueError, "Account.owner"),
    ("lock_rows", ("Account", None), iq.DefinitionFault, "say which records are meant"),
    ("lock_rows", ("Account", {}, -1), iq.InvalidValueError, "limit must be a number"),
    ("reserve_sequence_range", ("n", 0), iq.InvalidValueError, "count is a number"),
    ("reserve_sequence_range", (1, 1), iq.InvalidValueError, "name of a counter"),
]


@behaviour("S-A81")
@pytest.mark.parametrize(("operation", "arguments", "error", "message"), _REFUSED)
def test_what_cannot_be_done_is_refused(
    accounts: iq.Storage, operation: str, arguments: Any, error: Any, message: str
) -> None:
    before = [_row(accounts, "Account", 1), _row(accounts, "Bank", 1)]
    with pytest.raises(error, match=message):
        _once(accounts, operation, *arguments)
    assert [_row(accounts, "Account", 1), _row(accounts, "Bank", 1)] == before


_CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("get", ("Account", 1, "cents")),
    ("increment", ("Account", 1, "cents")),
    ("replace", ("Account", 1, "cents", 1)),
    ("compare_and_set", ("Account", 1, "cents", 1, 1)),
    ("lock_record", ("Account", 1)),
    ("lock_rows", ("Account", {})),
    ("reserve_sequence_range", ("n", 1)),
]


@behaviour("S-A83")
@pytest.mark.parametrize(("operation", "arguments"), _CALLS)
def test_they_are_steps_of_a_transaction(accounts: iq.Storage, operation: str, arguments: Any) -> None:
    with pytest.raises(iq.TransactionCapabilityError, match=rf"atomic.{operation}\(\) is one step of a transaction"):
        getattr(accounts.atomic, operation)(*arguments)


@behaviour("S-A83")
def test_records_are_locked(accounts: iq.Storage) -> None:
    def work(inside: iq.Storage) -> None:
        first = inside.atomic.lock_record("Account", 1)
        assert first is not None
        assert (first["id"], first["cents"], first["tags"]) == (1, 10, {"x": [1, 2]})
        assert inside.atomic.lock_record("Account", 9) is None
        found = inside.atomic.lock_rows("Account", {"bank.cents": 10})
        assert [row["id"] for row in found] == [1, 2]
        assert [row["id"] for row in inside.atomic.lock_rows("Account", lambda _: true(), limit=1)] == [1]
        assert inside.atomic.lock_rows("Account", {"cents": 99}) == []
        assert inside.atomic.lock_rows("Account", {"cents": 10}, limit=0) == []

    accounts.run_in_transaction(work)


@behaviour("S-A83")
@pytest.mark.concurrency
@pytest.mark.parametrize("lock", ["lock_record", "lock_rows", "increment"])
def test_others_wait_for_what_is_locked(accounts: iq.Storage, lock: str) -> None:
    held, done = Event(), Event()
    arguments: Any = ("Account", {"cents": 10}) if lock == "lock_rows" else ("Account", 1)

    def hold(inside: iq.Storage) -> None:
        getattr(inside.atomic, lock)(*arguments, *(["cents"] if lock == "increment" else []))
        held.set()
        assert not done.wait(0.4)
        inside.update("Account", {"id": 1}, {"cents": 50})

    def follow(inside: iq.Storage) -> Any:
        assert held.wait(20)
        found = inside.atomic.lock_rows("Account", {"cents": ("in", [10, 11])})
        seen = inside.atomic.lock_record("Account", 1)
        done.set()
        return found, seen and seen["cents"]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(accounts.run_in_transaction, hold)
        assert held.wait(20)
        second = pool.submit(accounts.run_in_transaction, follow)
        first.result()
        assert second.result() == ([], 50)  # what no longer fulfils the match is left out


@behaviour("S-A83")
@pytest.mark.postgres
@pytest.mark.concurrency
def test_rows_are_locked_in_one_order(engine_for: EngineFactory) -> None:
    storage = _storage(engine_for("psycopg"))
    for n in range(30):
        storage.create("Account", {"cents": n})
    attempts: list[int] = []

    def work(n: int) -> None:
        def inside(inner: iq.Storage) -> None:
            attempts.append(n)
            match: Any = {"cents": (">" if n % 2 else ">=", 0)}
            assert len(inner.atomic.lock_rows("Account", match)) >= 29

        storage.run_in_transaction(inside)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert len(attempts) == 40  # no deadlock, so nothing was repeated


@behaviour("S-A81")
@pytest.mark.concurrency
def test_many_at_once(accounts: iq.Storage) -> None:
    def race(work: Callable[[int], Any]) -> list[Any]:
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(work, range(24)))

    sums = race(lambda _: _once(accounts, "increment", "Account", 1, "cents", 2))
    assert sorted(sums) == list(range(12, 60, 2))
    assert _row(accounts, "Bank", 1)["cents"] == 58
    won = race(lambda n: _once(accounts, "compare_and_set", "Account", 2, "cents", None, n))
    assert sum(won) == 1
    old = race(lambda n: _once(accounts, "replace", "Account", 1, "cents", n))
    assert sorted([*old, _row(accounts, "Account", 1)["cents"]]) == [*range(24), 58]


@behaviour("S-A82")
def test_numbers_of_a_counter_are_without_gaps(accounts: iq.Storage) -> None:
    assert _once(accounts, "reserve_sequence_range", "invoice", 3) == range(1, 4)

    def undone(inside: iq.Storage) -> None:
        assert inside.atomic.reserve_sequence_range("invoice", 2) == range(4, 6)
        raise LookupError

    with pytest.raises(LookupError):
        accounts.run_in_transaction(undone)
    assert _once(accounts, "reserve_sequence_range", "invoice", 1) == range(4, 5)
    assert _once(accounts, "reserve_sequence_range", "other", 1) == range(1, 2)


@behaviour("S-A82")
@pytest.mark.concurrency
def test_each_number_of_a_counter_is_given_once(accounts: iq.Storage) -> None:
    def take(n: int) -> range:
        taken: range = _once(accounts, "reserve_sequence_range", "n", n % 3 + 1)
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(take, range(24)))
    assert sorted(number for some in taken for number in some) == list(range(1, 49))


@behaviour("S-A81", "S-A83")
async def test_they_are_awaited(async_engine: AsyncEngine) -> None:
    controller = iq.AsyncController(iq.AsyncSystem(async_engine), entities=_ENTITIES, relations=_RELATIONS)
    await controller.setup(install=True)
    storage = controller.system.storage
    await storage.create("Bank", {"accounts": [{"cents": 10}]})

    async def work(inside: iq.AsyncStorage) -> list[Any]:
        atomic = inside.atomic
        return [
            await atomic.increment("Account", 1, "cents"),
            await atomic.replace("Account", 1, "cents", 5),
            await atomic.compare_and_set("Account", 1, "cents", 5, 6),
            await atomic.get("Bank", 1, "cents"),
            (await atomic.lock_record("Account", 1) or {})["cents"],
            len(await atomic.lock_rows("Account", {"cents": 6})),
            await atomic.reserve_sequence_range("n", 2),
        ]

    assert await storage.run_in_transaction(work) == [11, 11, True, 6, 6, 1, range(1, 3)]
    with pytest.raises(iq.TransactionCapabilityError, match="one step of a transaction"):
        await storage.atomic.increment("Account", 1, "cents")
    await asyncio.gather(
        *(storage.run_in_transaction(lambda inside: inside.atomic.increment("Account", 1, "cents")) for _ in range(8))
    )
    assert await storage.find("Bank", {"cents": 14}) == [{"id": 1}]
