"""Ids, transactions and dictionaries: S-A77 to S-A85."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import DBAPIError

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import numbers, storage_of


@behaviour("S-A77")
@pytest.mark.concurrency
def test_fifty_at_once_have_ids_of_their_own(storage: iq.Storage, engine: Engine) -> None:
    storage.create("Team", {"name": "x"})

    def make(n: int) -> int:
        number: int = storage.create("Person", {"age": n, "teams": [{"id": 1}]})["id"]
        return number

    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(make, range(50)))
    assert len(set(made)) == 50
    assert len(set(numbers(storage, "Membership"))) == 50
    assert "_IDS_" not in inspect(engine).get_table_names()


@behaviour("S-A78")
@pytest.mark.postgres
@pytest.mark.concurrency
def test_transactions_do_not_mix(engine_for: Any) -> None:
    storage = storage_of(engine_for("psycopg"))
    together = Barrier(2, timeout=20)

    def work(name: str, fails: bool) -> None:
        def inside(inner: iq.Storage) -> None:
            inner.create("Team", {"name": name})
            together.wait()
            inner.create("Team", {"name": name})
            together.wait()
            if fails:
                raise LookupError

        storage.run_in_transaction(inside)

    with ThreadPoolExecutor(2) as pool:
        failing, other = pool.submit(work, "a", True), pool.submit(work, "b", False)
        assert isinstance(failing.exception(), LookupError)
        other.result()
    assert [row["name"] for row in storage.find("Team", attribute_query=["name"])] == ["b", "b"]


@behaviour("S-A79")
def test_a_transaction_inside_another_is_a_part_of_it(storage: iq.Storage) -> None:
    def outer(inside: iq.Storage) -> None:
        inside.create("Team", {"name": "a"})
        inside.run_in_transaction(lambda inner: inner.create("Team", {"name": "b"}))
        assert len(inside.find("Team")) == 2
        raise LookupError

    with pytest.raises(LookupError):
        storage.run_in_transaction(outer)
    assert storage.find("Team") == []


@behaviour("S-A80")
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
@pytest.mark.postgres
def test_conflicts_are_repeated(engine_for: Any, sqlstate: str) -> None:
    storage = storage_of(engine_for("psycopg"))
    attempts: list[int] = []

    def work(inside: iq.Storage) -> int:
        attempts.append(len(inside.find("Team")))
        inside.create("Team", {"name": "a"})
        if len(attempts) < 3:
            inside.read(lambda session: session.execute(_raise(sqlstate)))
        return len(attempts)

    assert storage.run_in_transaction(work) == 3
    assert attempts == [0, 0, 0]
    assert len(storage.find("Team")) == 1


@behaviour("S-A80")
@pytest.mark.postgres
def test_conflicts_without_end_and_other_errors(engine_for: Any) -> None:
    storage = storage_of(engine_for("psycopg"))
    attempts: list[str] = []

    def work(inside: iq.Storage) -> None:
        attempts.append("")
        inside.read(lambda session: session.execute(_raise("40001")))

    with pytest.raises(iq.TransactionRetryExhaustedError) as caught:
        storage.run_in_transaction(work, name="hopeless")
    assert caught.value.context["attempts"] == len(attempts) == 5
    assert isinstance(caught.value.__cause__, DBAPIError)
    attempts.clear()

    def twice(inside: iq.Storage) -> None:
        attempts.append("")
        for _ in range(2):
            inside.create("Team", {"id": 1})

    with pytest.raises(iq.ConstraintViolationError):
        storage.run_in_transaction(twice)
    assert len(attempts) == 1


def _raise(sqlstate: str) -> Any:
    return text(f"DO $$ BEGIN RAISE EXCEPTION 'forced' USING ERRCODE = '{sqlstate}'; END $$")


@behaviour("S-A85")
@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, {"a": [None, "ü"]}, "text", 1.5], ids=repr)
def test_dictionaries_hold_any_value(engine: Engine, value: Any) -> None:
    storage = storage_of(engine, dictionaries=[iq.Dictionary("things", "object", default={"a": 1})])
    assert storage.dictionary.get("things") == {"a": 1}
    storage.dictionary.set("things", value)
    found = storage.dictionary.get("things")
    assert found == value
    assert type(found) is type(value)
    with pytest.raises(iq.FrameworkError, match="nothing"):
        storage.dictionary.get("nothing")


@behaviour("S-A85")
@pytest.mark.concurrency
def test_the_first_value_of_a_dictionary_is_written_once(engine: Engine) -> None:
    storage = storage_of(engine, dictionaries=[iq.Dictionary("things", int)])
    dictionary = storage.dictionary
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(dictionary.set, ["things"] * 8, range(8)))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM dictionary_things")) == 1
