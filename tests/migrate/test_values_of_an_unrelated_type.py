"""A computed column may get a type to which its values cannot be converted: they are computed again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Integer, Numeric, String
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


COUNT = (iq.Count("items"), Integer(), False)
ANY = (iq.Any("items", expression={"n": (">", 5)}), Boolean(), False)


@pytest.mark.parametrize(
    ("before", "after", "is_reversible"),
    [
        (COUNT, ANY, True),
        (ANY, COUNT, True),
        ((word, String(), False), (size, Integer(), False), False),
        ((word, String(), True), (size, Numeric(10, 2), True), True),
        ((word, String(), False), (pair, JSON(), False), False),
        ((word, String(), False), COUNT, False),
        (COUNT, (word, String(), False), True),
    ],
)
def test_it_is_filled(environment: Environment, before: Any, after: Any, is_reversible: bool) -> None:
    if isinstance(after[1], JSON) and not environment.is_postgresql:
        pytest.skip("SQLite keeps the text, which is not JSON")
    first = with_value(*before)
    environment.migrate(first)
    environment.run(
        f"INSERT INTO box (id{', value' if before[0] is word and not before[2] else ''})"
        f" VALUES {'(1, %), (2, %)'.replace('%', repr('x')) if before[0] is word and not before[2] else '(1), (2)'}",
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
    if is_reversible:
        environment.downgrade(f"-{len(made)}")
        environment.upgrade()
        assert is_true(environment, second)
