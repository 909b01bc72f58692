"""Values under a unique constraint that change places: a row gets the value that another one still has."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import Integer, String, UniqueConstraint
from sqlalchemy.orm import mapped_column

import interaqt_sa as iq
from interaqt_sa.errors import ConstraintSetupError
from tests.migrate.boxes import boxes, is_true
from tests.migrate.environment import Environment

ROWS = "INSERT INTO box (id, n, slot) VALUES (1, 1, 'slot 1'), (2, 2, 'slot 2'), (3, 3, 'slot 3')"


def upwards(box: Any) -> str:
    return f"slot {box.n}"


def downwards(box: Any) -> str:
    return f"slot {4 - box.n}"


def everywhere(box: Any) -> str:
    return "slot"


def shelf(slot: Any, *, nullable: bool = True) -> Any:
    """Return a base whose boxes have a number, and a computed slot that no other box may have."""
    return boxes(
        UniqueConstraint("slot", name="uq_box_slot"),
        n=mapped_column(Integer, nullable=False),
        slot=iq.computed(slot, String(), nullable=nullable),
    )


def use_other(environment: Environment, slot: Any, *, nullable: bool = True) -> Any:
    """Fill slots by one declaration, and write the revision of another one."""
    environment.migrate(shelf(upwards, nullable=nullable))
    environment.run(ROWS)
    base = shelf(slot, nullable=nullable)
    environment.use(base)
    environment.revision()
    return base


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_they_are_cleared_first(environment: Environment, batch: int, caplog: pytest.LogCaptureFixture) -> None:
    base = use_other(environment, downwards)
    with caplog.at_level(logging.INFO):
        environment.upgrade("head", f"batch={batch}")
    assert "Box.slot: NULL until computed, because values change places under uq_box_slot" in caplog.text
    assert environment.rows("SELECT slot FROM box ORDER BY id") == [("slot 3",), ("slot 2",), ("slot 1",)]
    assert is_true(environment, base)
    environment.check()


def test_equal_values_are_reported(environment: Environment) -> None:
    use_other(environment, everywhere)
    with pytest.raises(ConstraintSetupError, match=r"Box\.slot is not filled: two rows have the same value") as caught:
        environment.upgrade("head", "batch=1")
    assert caught.value.properties == ("slot",)
    base = shelf(downwards)  # the declaration is corrected, not the revision
    environment.use(base)
    environment.upgrade()
    assert is_true(environment, base)
    environment.check()


def test_a_required_value_tells_the_way_out(environment: Environment) -> None:
    base = use_other(environment, downwards, nullable=False)
    said = r"uq_box_slot.*of box \(slot\).*cannot be NULL.*drop the constraint first"
    with pytest.raises(ConstraintSetupError, match=said):
        environment.upgrade("head", "batch=1")
    assert environment.rows("SELECT slot FROM box ORDER BY id") == [("slot 1",), ("slot 2",), ("slot 3",)]

    (path,) = environment.versions.glob("*back_fill*")
    text = path.read_text()
    start, end = text.index("    op.interaqt_backfill("), text.index("    # ### end")
    path.write_text(
        f"{text[:start]}"
        "    with op.batch_alter_table('box') as box:\n"
        "        box.drop_constraint('uq_box_slot', type_='unique')\n"
        f"{text[start:end]}"
        "    op.interaqt_check_unique('uq_box_slot', 'box', ['slot'])\n"
        "    with op.batch_alter_table('box') as box:\n"
        "        box.create_unique_constraint('uq_box_slot', ['slot'])\n"
        f"{text[end:]}"
    )
    environment.upgrade("head", "batch=1")
    assert environment.rows("SELECT slot FROM box ORDER BY id") == [("slot 3",), ("slot 2",), ("slot 1",)]
    assert is_true(environment, base)
    environment.check()


def test_a_constraint_over_other_columns_too(environment: Environment) -> None:
    """A value that comes from members, unique among the boxes of one row."""

    def ranked(computation: Any) -> Any:
        return boxes(
            UniqueConstraint("shelf", "rank", name="uq_box_rank"),
            shelf=mapped_column(Integer, nullable=False),
            rank=iq.computed(computation, Integer(), nullable=True),
        )

    environment.migrate(ranked(iq.Min("items", "n")))
    environment.run(
        "INSERT INTO box (id, shelf, rank) VALUES (1, 1, 1), (2, 1, 2), (3, 2, 1)",
        "INSERT INTO item (id, box_id, n) VALUES (1, 1, 1), (2, 1, 2), (3, 2, 2), (4, 2, 3), (5, 3, 1)",
    )
    base = ranked(iq.Max("items", "n"))
    environment.migrate(base)
    assert environment.rows("SELECT rank FROM box ORDER BY id") == [(2,), (3,), (1,)]
    assert is_true(environment, base)


def test_a_constraint_for_which_nulls_are_equal(postgres_environment: Environment) -> None:
    use_other(postgres_environment, downwards)
    postgres_environment.run(
        "ALTER TABLE box DROP CONSTRAINT uq_box_slot",
        "ALTER TABLE box ADD CONSTRAINT uq_box_slot UNIQUE NULLS NOT DISTINCT (slot)",
    )
    with pytest.raises(ConstraintSetupError, match=r"uq_box_slot.*cannot be NULL"):
        postgres_environment.upgrade("head", "batch=1")
