"""A computed column may get a type to which its values cannot be converted: they are computed again."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Date, Integer, Numeric, String
from sqlalchemy.types import TypeEngine

import interaqt_sa as iq
from tests.migrate.boxes import boxes, is_true
from tests.migrate.environment import Environment


def with_value(computation: Any, type_: TypeEngine[Any], nullable: bool) -> Any:
    return boxes(value=iq.computed(computation, type_, nullable=nullable))


def word(box: Any) -> str:
    return f"box {box.id}"


def size(box: Any) -> int:
    return 10 * int(box.id)


def pair(box: Any) -> list[int]:
    return [box.id, box.id]


def day(box: Any) -> date:
    return date(2020, 1, box.id)


COUNT = (iq.Count("items"), Integer(), False)
ANY = (iq.Any("items", expression={"n": (">", 5)}), Boolean(), False)
WORD = (word, String(), False)
PAIR = (pair, JSON(), False)
DAY = (day, Date(), False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (COUNT, ANY),
        (ANY, COUNT),
        (WORD, (size, Integer(), False)),
        ((word, String(), True), (size, Numeric(10, 2), True)),
        (WORD, PAIR),
        ((word, String(), True), (pair, JSON(), True)),
        (WORD, DAY),
        (DAY, PAIR),
        (PAIR, COUNT),
        (WORD, COUNT),
        (COUNT, WORD),
    ],
)
def test_it_is_filled(environment: Environment, before: Any, after: Any) -> None:
    first = with_value(*before)
    environment.migrate(first)
    given = {word: "'x'", pair: "'[1, 1]'", day: "'2020-01-01'"}.get(before[0])
    environment.run(
        "INSERT INTO box (id) VALUES (1), (2)"
        if given is None or before[2]
        else f"INSERT INTO box (id, value) VALUES (1, {given}), (2, {given})",
        "INSERT INTO item (id, box_id, n) VALUES (1, 1, 9)",
    )
    iq.System(environment.engine, base=first, configure_sqlite=False).repair()

    second = with_value(*after)
    made = environment.migrate(second)

    assert is_true(environment, second)
    (nullable,) = (
        environment.rows("SELECT is_nullable = 'YES' FROM information_schema.columns WHERE column_name = 'value'")[0]
        if environment.is_postgresql
        else environment.rows("""SELECT NOT "notnull" FROM pragma_table_info('box') WHERE name = 'value'""")[0]
    )
    assert bool(nullable) is after[2]

    environment.downgrade(f"-{len(made)}")
    iq.System(environment.engine, base=first, configure_sqlite=False).repair()  # the older version can read it
    assert is_true(environment, first)
    environment.upgrade()
    assert is_true(environment, second)
