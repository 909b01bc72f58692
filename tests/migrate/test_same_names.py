"""Classes with the same name, in one MetaData or in several of one environment: the values of each are filled."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, Integer
from sqlalchemy.orm import DeclarativeBase, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.migrate.declared import Declared
from tests.migrate.environment import Environment


def add_boxes(base: Any, prefix: str, *, is_counted: bool) -> list[Any]:
    class Item(base):  # type: ignore[misc]
        __tablename__ = f"{prefix}_item"
        __module__ = f"shop.{prefix}"
        id = mapped_column(Integer, primary_key=True)
        box_id = mapped_column(ForeignKey(f"{prefix}_box.id"), index=True)

    class Box(base):  # type: ignore[misc]
        __tablename__ = f"{prefix}_box"
        __module__ = f"shop.{prefix}"
        id = mapped_column(Integer, primary_key=True)
        items = relationship(Item)
        if is_counted:
            value = iq.computed(iq.Count("items"), Integer)

    return [Item, Box]


def bases(number: int, *, is_counted: bool) -> list[Any]:
    """Return one base, or two, with a class Box on the table a_box and one on b_box."""
    found: list[Any] = []
    for _ in range(number):

        class Base(DeclarativeBase):
            pass

        found.append(Base)
    for prefix, base in zip("ab", found * 2, strict=False):
        base.kept = [*getattr(base, "kept", ()), *add_boxes(base, prefix, is_counted=is_counted)]
    return found


ROWS = tuple(
    statement.format(prefix)
    for prefix in "ab"
    for statement in ("INSERT INTO {0}_box (id) VALUES (1), (2)", "INSERT INTO {0}_item (id, box_id) VALUES (1, 2)")
)


def check(environment: Environment, found: list[Any]) -> int:
    reports = [iq.System(environment.engine, base=base, configure_sqlite=False).check() for base in found]
    assert all(report.ok for report in reports), reports
    return sum(report.checked for report in reports)


@pytest.mark.parametrize("number", [1, 2])
def test_the_values_of_each_are_filled(environment: Environment, number: int) -> None:
    environment.migrate(bases(number, is_counted=False))
    environment.run(*ROWS)
    found = bases(number, is_counted=True)
    environment.migrate(found)
    for prefix in "ab":
        assert environment.rows(f"SELECT value FROM {prefix}_box ORDER BY id") == [(0,), (1,)]
    assert check(environment, found) == 4
    names = environment.rows("SELECT name, phase FROM interaqt_backfill ORDER BY name")
    assert names == [("a_box.value", "done"), ("b_box.value", "done")]
    # another run finds both, and a database that is made by the same revisions too
    environment.upgrade()
    environment.downgrade("base")
    environment.upgrade()


def test_a_difference_is_found_in_each(environment: Environment) -> None:
    (base,) = bases(1, is_counted=True)
    environment.migrate(base)
    environment.run(*ROWS[:1], ROWS[2])
    environment.run("UPDATE a_box SET value = 5 WHERE id = 1", "UPDATE b_box SET value = 6 WHERE id = 2")
    system = iq.System(environment.engine, base=base, configure_sqlite=False)
    found = {(difference.stored, difference.id) for difference in system.check().differences}
    assert found == {(5, 1), (6, 2)}
    system.repair()
    assert check(environment, [base]) == 4


def test_records_under_the_names_of_classes_are_adopted(environment: Environment) -> None:
    """As earlier versions have written them."""
    found = bases(1, is_counted=True)

    class Base(DeclarativeBase):
        pass

    Base.kept = add_boxes(Base, "a", is_counted=True)  # type: ignore[attr-defined]
    environment.migrate(Base)
    former = Declared(Base.metadata)._fingerprints["Box.value"].former
    environment.run(f"UPDATE interaqt_backfill SET name = 'Box.value', fingerprint = '{former}'")
    environment.check()
    environment.upgrade()
    assert environment.rows("SELECT name FROM interaqt_backfill") == [("a_box.value",)]
    environment.migrate(found[0])
    # the first revision names it as long as it was the only one
    environment.downgrade("base")
    environment.upgrade()
    check(environment, found)
