"""The cursor of a back-fill, and operations in their own right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
    Uuid,
)
from sqlalchemy.dialects.postgresql import INET

from interaqt_sa.migrate.backfill import Pace, backfill
from interaqt_sa.migrate.backfill_passes import Work
from interaqt_sa.migrate.backfill_state import state_table
from interaqt_sa.migrate.backfill_transactions import Transactions
from interaqt_sa.migrate.key_codec import KeyCodec
from tests.migrate.environment import Environment


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (BigInteger(), 2**60),
        (String(), "it's [1, 2]"),
        (Uuid(), UUID(int=7)),
        (Numeric(), Decimal("1.10")),
        (DateTime(), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (Date(), date(2026, 1, 2)),
        (Time(), time(3, 4)),
        (LargeBinary(), b"\x00\xff"),
    ],
)
def test_keys_are_kept_as_text(type_: Any, value: Any) -> None:
    codec = KeyCodec([Column("a", type_), Column("b", Integer())])
    assert codec.load(codec.dump((value, 3))) == (value, 3)


@pytest.mark.parametrize(("type_", "value"), [(INET(), IPv4Address("10.0.0.1")), (String(), 5)])
def test_keys_of_other_types_are_not(type_: Any, value: Any) -> None:
    codec = KeyCodec([Column("a", type_)])
    assert codec.dump((value,)) is None
    assert codec.load(None) is None


def numbers() -> tuple[Table, Table]:
    metadata = MetaData()
    table = Table(
        "numbers",
        metadata,
        Column("id", INET().with_variant(String(), "sqlite"), primary_key=True),
        Column("seen", Integer),
    )
    return table, state_table(metadata)


def test_without_a_kept_cursor_a_back_fill_still_ends(sqlite_environment: Environment) -> None:
    table, state = numbers()
    seen: list[Any] = []

    def step(connection: Connection, after: Any, limit: int) -> Any:
        seen.append(after)
        return (IPv4Address(len(seen)),) if len(seen) < 4 else None

    with sqlite_environment.connect() as connection:
        state.create(connection)
        table.create(connection)
        connection.execute(state.insert().values(name="Number.seen", fingerprint="f", phase="running"))
    work = Work({"Number.seen": "f"}, table, step)
    backfill(Transactions(sqlite_environment.engine.begin, are_own=True), state, work, Pace(10))

    assert seen == [None, (IPv4Address(1),), (IPv4Address(2),), (IPv4Address(3),)]
    assert sqlite_environment.rows("SELECT * FROM interaqt_backfill") == [("Number.seen", "f", "done", None)]


def test_two_runners_share_the_work(environment: Environment) -> None:

    metadata = MetaData()
    table = Table("numbers", metadata, Column("id", Integer, primary_key=True), Column("seen", Integer))
    state = state_table(metadata)
    with environment.connect() as connection:
        metadata.create_all(connection)
        connection.execute(table.insert(), [{"id": n, "seen": 0} for n in range(1, 41)])
        connection.execute(state.insert().values(name="Number.seen", fingerprint="f", phase="running"))

    def step(connection: Connection, after: Any, limit: int) -> Any:
        first = after[0] + 1 if after else 1
        rows = connection.execute(
            table.update()
            .where(table.c.id.between(first, first + limit - 1))
            .values(seen=table.c.seen + 1)
            .returning(table.c.id)
        )
        return max(((row.id,) for row in rows), default=None)

    work = Work({"Number.seen": "f"}, table, step)
    transactions = Transactions(environment.engine.begin, are_own=True)
    with ThreadPoolExecutor(2) as pool:
        for run in [pool.submit(backfill, transactions, state, work, Pace(3)) for _ in range(2)]:
            run.result(timeout=30)
    with environment.connect() as connection:
        counted = connection.exec_driver_sql("SELECT min(seen), max(seen) FROM numbers").one()
    assert counted[0] >= 1
    assert counted[1] <= 2
