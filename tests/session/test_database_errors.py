"""What errors of databases mean, on all four drivers."""

from __future__ import annotations

import pickle
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from interaqt_sa.dialects.database_errors import (
    error_chain,
    is_require_serializable_retry,
    is_retryable_transaction_error,
    normalize_database_error,
)
from interaqt_sa.errors import (
    ComputationError,
    ConstraintViolationError,
    RequireSerializableRetry,
    TransactionRetryExhaustedError,
)
from interaqt_sa.session.violations import (
    constraint_violation,
    find_constraint_violation_error,
    with_constraint_violation,
)
from tests.session.models import CASES, Base, Seat

DRIVERS = {"pysqlite": "sqlite3", "aiosqlite": "sqlite3", "psycopg": "psycopg", "asyncpg": "asyncpg"}


def refused(session: Session, rows: list[dict[str, Any]]) -> DBAPIError:
    Base.metadata.create_all(session.connection())
    session.connection()
    for number, row in enumerate(rows[:-1]):
        session.add(Seat(**{"id": number, **row}))
    session.flush()
    session.add(Seat(**{"id": 9, **rows[-1]}))
    with pytest.raises(DBAPIError) as caught:
        session.flush()
    session.rollback()
    return caught.value


def check(error: DBAPIError, driver: str, expected: tuple[Any, ...]) -> None:
    found = constraint_violation(error, Base.metadata)
    assert found is not None
    assert (found.kind, found.code, found.constraint, found.properties, found.record) == (*expected, "Seat")
    assert found.driver == DRIVERS[driver]
    assert found.retryable is False
    assert not is_retryable_transaction_error(error)
    assert pickle.loads(pickle.dumps(found)).code == found.code


@pytest.mark.parametrize("case", CASES)
def test_violations(engine: Engine, case: str) -> None:
    rows, expected = CASES[case]
    with Session(engine) as session:
        check(refused(session, rows), engine.driver, expected)


@pytest.mark.parametrize("case", CASES)
async def test_violations_async(async_engine: AsyncEngine, case: str) -> None:
    rows, expected = CASES[case]
    async with async_engine.connect() as connection:
        error = await connection.run_sync(lambda c: refused(Session(c), rows))
    check(error, async_engine.driver, expected)


def refused_key(session: Session) -> DBAPIError:
    if session.get_bind().dialect.name == "sqlite":
        session.connection().execute(text("PRAGMA foreign_keys=ON"))
    return refused(session, [{"shop_id": 5}])


def check_key(error: DBAPIError, driver: str) -> None:
    found = constraint_violation(error, Base.metadata)
    assert found is not None
    assert (found.kind, found.code) == ("foreign-key", "FOREIGN_KEY_CONSTRAINT_VIOLATION")
    if driver in ("psycopg", "asyncpg"):  # SQLite tells nothing
        assert (found.constraint, found.record, found.properties) == ("fk_seat_shop_id", "Seat", ("shop_id",))


def test_foreign_key(engine: Engine) -> None:
    with Session(engine) as session:
        check_key(refused_key(session), engine.driver)


async def test_foreign_key_async(async_engine: AsyncEngine) -> None:
    async with async_engine.connect() as connection:
        error = await connection.run_sync(lambda c: refused_key(Session(c)))
    check_key(error, async_engine.driver)


def test_a_constraint_that_is_not_declared_has_no_names(engine: Engine) -> None:
    with Session(engine) as session:
        error = refused(session, CASES["unique"][0])
    found = constraint_violation(error, MetaData())
    assert found is not None
    assert (found.kind, found.constraint, found.code) == ("unique", None, "UNIQUE_CONSTRAINT_VIOLATION")


def test_other_errors_are_no_violations(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text("SELECT * FROM nowhere"))
    assert constraint_violation(caught.value, Base.metadata) is None
    assert normalize_database_error(ValueError()) is None
    normalized = normalize_database_error(caught.value)
    assert normalized is not None
    assert (normalized.kind, normalized.is_violation, normalized.is_conflict) == (None, False, False)


def test_the_violation_replaces_the_error_of_the_database(engine: Engine) -> None:
    with Session(engine) as session:
        error = refused(session, CASES["unique"][0])
    found = with_constraint_violation(error, Base.metadata)
    assert isinstance(found, ConstraintViolationError)
    assert found.__cause__ is error
    assert with_constraint_violation(found, Base.metadata) is found


def test_the_violation_is_put_into_a_chain(engine: Engine) -> None:
    with Session(engine) as session:
        error = refused(session, CASES["unique"][0])
    inner, outer = ComputationError("inner"), ComputationError("outer")
    outer.__cause__, inner.__cause__ = inner, error
    assert with_constraint_violation(outer, Base.metadata) is outer
    violation = find_constraint_violation_error(outer)
    assert violation is not None
    assert (violation.code, violation.__cause__, inner.__cause__) == ("SEAT_TAKEN", error, violation)
    other = ValueError()
    assert with_constraint_violation(other, Base.metadata) is other
    assert find_constraint_violation_error(other) is None


def test_chains_with_cycles_come_to_an_end() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert list(error_chain(first)) == [first, second]


class FakeDriverError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "kind"), [("40001", "serialization"), ("40P01", "deadlock"), ("55P03", "lock"), ("57014", None)]
)
def test_conflicts_are_found_anywhere_in_the_chain(sqlstate: str, kind: str | None) -> None:
    outer = ComputationError("outer")
    outer.__cause__ = DBAPIError("SELECT 1", {}, FakeDriverError(sqlstate))
    normalized = normalize_database_error(outer)
    assert normalized is not None
    assert normalized.kind == kind
    assert is_retryable_transaction_error(outer) is (kind is not None)


def test_what_was_repeated_in_vain_is_not_repeated_again() -> None:
    error = TransactionRetryExhaustedError("exhausted", attempts=5)
    error.__cause__ = FakeDriverError("40001")
    assert not is_retryable_transaction_error(error)


@pytest.mark.parametrize("name", ["SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "SQLITE_LOCKED_SHAREDCACHE"])
def test_locks_of_sqlite_are_conflicts(name: str) -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorname = name
    assert is_retryable_transaction_error(OperationalError("SELECT 1", {}, error))


def test_a_bare_constraint_error_of_sqlite_is_no_violation_of_uniqueness() -> None:
    error = sqlite3.IntegrityError("constraint failed")
    error.sqlite_errorname = "SQLITE_CONSTRAINT"
    normalized = normalize_database_error(error)
    assert normalized is not None
    assert normalized.kind is None


def test_promotion_is_found_anywhere_in_the_chain() -> None:
    outer = ComputationError("outer")
    outer.__cause__ = RequireSerializableRetry()
    assert is_require_serializable_retry(outer)
    assert not is_require_serializable_retry(ValueError())
