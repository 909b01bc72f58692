"""A back-fill that a function stops says which value of which row it was."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq
from tests.migrate.environment import Environment


def boxes(function: Any = None, *, nullable: bool = False) -> Any:
    """Return a base whose boxes may have a label that `function` computes."""

    class Base(DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        if function is not None:
            label: Mapped[str] = iq.computed(function, nullable=nullable)

    Base.kept = [Box]  # type: ignore[attr-defined]  # a registry holds its classes weakly
    return Base


def stopped(environment: Environment, function: Any) -> iq.ComputationError:
    environment.migrate(boxes())
    environment.run("INSERT INTO box (id, name) VALUES (1, 'a'), (7, 'b')")
    environment.use(boxes(function))
    environment.revision()
    with pytest.raises(iq.ComputationError) as caught:
        environment.upgrade()
    return caught.value


def test_none_for_a_column_that_is_not_null(environment: Environment) -> None:
    error = stopped(environment, lambda box: None if box.name == "b" else box.name)
    assert str(error).startswith("Box.label: the function returned None for the row of box with id=7, but the column")

    base = boxes(lambda box: box.name or None)
    environment.use(base)
    environment.upgrade()
    assert environment.rows("SELECT label FROM box ORDER BY id") == [("a",), ("b",)]


def test_none_for_a_column_that_may_be_null(environment: Environment) -> None:
    environment.migrate(boxes())
    environment.run("INSERT INTO box (id, name) VALUES (1, 'a')")
    environment.migrate(boxes(lambda _: None, nullable=True))
    assert environment.rows("SELECT label FROM box") == [(None,)]


def test_a_function_that_fails(environment: Environment) -> None:
    error = stopped(environment, lambda box: {"a": "first"}[box.name])
    assert "Box.label" in str(error)
    assert "It was called for the row of box with id=7" in error.__notes__
