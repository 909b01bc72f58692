"""Values over the rows of a subclass that an SQL expression tells from the others of its table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, case
from sqlalchemy.orm import DeclarativeBase, Mapped, column_property, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.environment import Environment


def pens(bird_legs: int, *, is_counted: bool = True) -> Any:
    """Return a base whose pens count the birds among their animals, which have `bird_legs`."""

    class Base(DeclarativeBase):
        pass

    class Animal(Base):
        __tablename__ = "animal"
        id: Mapped[int] = mapped_column(primary_key=True)
        pen_id: Mapped[int] = mapped_column(ForeignKey("pen.id"), index=True)
        legs: Mapped[int] = mapped_column()
        kind = column_property(case((legs == bird_legs, "bird"), else_="animal"))
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}

    class Bird(Animal):
        __mapper_args__ = {"polymorphic_identity": "bird"}

    class Pen(Base):
        __tablename__ = "pen"
        id: Mapped[int] = mapped_column(primary_key=True)
        birds: Mapped[list[Bird]] = relationship()
        if is_counted:
            bird_count: Mapped[int] = iq.computed(iq.Count("birds"))

    Base.kept = [Animal, Bird, Pen]  # type: ignore[attr-defined]
    return Base


def test_they_are_filled_again_if_the_expression_changes(environment: Environment) -> None:
    environment.migrate(pens(2, is_counted=False))
    environment.run(
        "INSERT INTO pen (id) VALUES (1), (2)",
        "INSERT INTO animal (id, pen_id, legs) VALUES (1, 1, 4), (2, 1, 2), (3, 2, 3), (4, 1, 3)",
    )
    for legs, counts in ((2, [(1, 1), (2, 0)]), (3, [(1, 1), (2, 1)])):
        base = pens(legs)
        environment.migrate(base)
        assert environment.rows("SELECT id, bird_count FROM pen ORDER BY id") == counts
        assert iq.System(environment.engine, base=base, configure_sqlite=False).check().ok
