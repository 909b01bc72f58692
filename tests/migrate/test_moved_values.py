"""A value that is declared as before, but stored elsewhere or read over the other end of a tree, is filled again."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, Integer
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.migrate.declared import Declared
from tests.migrate.boxes import boxes, is_true
from tests.migrate.environment import Environment


def counted(sum_: str = "total", count_: str = "number", *, legacy: bool = False) -> Any:
    """Return a base whose boxes have a sum and a count, in the columns of these names."""
    values: dict[str, Any] = {
        "sum": iq.computed(iq.Summation("items", "n"), Integer(), name=sum_, nullable=False),
        "count": iq.computed(iq.Count("items"), Integer(), name=count_, nullable=False),
    }
    return boxes(**values, **({"old": mapped_column("legacy", Integer)} if legacy else {}))


def tree(remote: str) -> Any:
    class Base(DeclarativeBase):
        pass

    class Node(Base):
        __tablename__ = "node"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"), index=True)
        near: Mapped[list[Any]] = relationship("Node", remote_side=f"Node.{remote}", viewonly=True)
        count: Mapped[int] = iq.computed(iq.Count("near"))

    Base.kept = [Node]  # type: ignore[attr-defined]
    return Base


ROWS = (
    "INSERT INTO box (id, total, number) VALUES (1, 30, 2), (2, 0, 0)",
    "INSERT INTO item (id, box_id, n) VALUES (1, 1, 10), (2, 1, 20)",
)


def test_two_values_that_exchange_their_columns(environment: Environment) -> None:
    environment.migrate(counted())
    environment.run(*ROWS)
    base = counted("number", "total")
    environment.migrate(base)
    assert is_true(environment, base)
    assert environment.rows("SELECT number, total FROM box ORDER BY id") == [(30, 2), (0, 0)]


def test_a_value_that_takes_over_a_column(environment: Environment) -> None:
    environment.migrate(counted(legacy=True))
    environment.run(*ROWS, "UPDATE box SET legacy = 99")
    base = counted("legacy")
    environment.migrate(base)
    assert is_true(environment, base)


def test_the_other_direction_of_a_tree(environment: Environment) -> None:
    environment.migrate(tree("parent_id"))
    environment.run("INSERT INTO node (id, parent_id, count) VALUES (1, NULL, 2), (2, 1, 0), (3, 1, 0)")
    base = tree("id")
    environment.migrate(base)
    assert is_true(environment, base)
    assert environment.rows("SELECT count FROM node ORDER BY id") == [(0,), (1,), (1,)]


@pytest.mark.parametrize("is_same", [True, False])
def test_records_in_the_former_format_are_renewed(sqlite_environment: Environment, is_same: bool) -> None:
    environment = sqlite_environment
    base = counted()
    environment.migrate(base)
    environment.run(*ROWS)
    declared = Declared(base.metadata)
    recorded = {name: declared._fingerprints[name].former if is_same else "2:other" for name in declared.values}
    for name, fingerprint in recorded.items():
        environment.run(
            f"UPDATE interaqt_backfill SET fingerprint = '{fingerprint}' WHERE name = '{declared.places[name]}'"
        )
    if is_same:
        environment.check()
        environment.upgrade()
    else:
        environment.migrate(counted())
    rows = dict(environment.rows("SELECT name, fingerprint FROM interaqt_backfill"))
    assert rows == {declared.places[name]: said for name, said in declared.fingerprints.items()}
