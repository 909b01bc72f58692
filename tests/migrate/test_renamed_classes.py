"""A class has got another name since the revisions that fill its values were written; its table is the same."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Integer
from sqlalchemy.orm import Mapped, mapped_column

import interaqt_sa as iq
from tests.migrate.boxes import boxes, is_true
from tests.migrate.environment import Environment

ROWS = ("INSERT INTO box (id) VALUES (1), (2)", "INSERT INTO item (id, box_id, n) VALUES (1, 1, 10), (2, 1, 20)")


def named(class_name: str, *, is_counted: bool = True) -> Any:
    """Return a base whose boxes, and labels derived from them, are called by ``class_name``."""
    if not is_counted:
        return boxes(class_name=class_name)
    base = boxes(
        class_name=class_name,
        number=iq.computed(iq.Count("items"), Integer(), nullable=False),
        twice=iq.computed(lambda box: box.number * 2, Integer(), nullable=False),
    )
    box = base.kept[1]

    class Label(base):  # type: ignore[misc]
        __tablename__ = "label"
        __computation__ = iq.Transform(box, lambda row: {"text": str(row.number)}, attribute_query=["number"])
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]

    base.kept.append(Label)
    return base


def test_an_empty_database_is_migrated_to_the_head(environment: Environment) -> None:
    environment.migrate(named("Box"))
    environment.downgrade("base")
    base = named("Crate")
    environment.use(base)
    environment.upgrade()
    assert is_true(environment, base)
    environment.check()


def test_rows_are_filled_by_revisions_under_the_former_name(environment: Environment) -> None:
    first = environment.migrate(named("Box", is_counted=False))
    environment.migrate(named("Box"))
    environment.downgrade("-1")
    assert first
    environment.run(*ROWS)
    base = named("Crate")
    environment.use(base)
    environment.upgrade()
    assert environment.rows("SELECT number, twice FROM box ORDER BY id") == [(2, 4), (0, 0)]
    assert environment.rows("SELECT text FROM label ORDER BY text") == [("0",), ("2",)]
    assert is_true(environment, base)
    environment.check()


def test_a_filled_database_keeps_its_values(environment: Environment) -> None:
    environment.migrate(named("Box"))
    environment.run("INSERT INTO box (id, number, twice) VALUES (1, 0, 0)")
    base = named("Crate")
    environment.migrate(base)  # rows derived from a record of another name are derived again
    environment.check()
    assert environment.rows("SELECT number, twice FROM box") == [(0, 0)]
    assert environment.rows("SELECT text FROM label") == [("0",)]
    assert is_true(environment, base)
