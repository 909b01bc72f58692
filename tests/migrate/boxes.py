"""Boxes with items, and whatever else a test declares of a box."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Integer, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.environment import Environment


def boxes(*constraints: UniqueConstraint, class_name: str = "Box", **attributes: Any) -> Any:
    """Return a base with items and boxes.

    :param constraints: of the table of boxes.
    :param class_name: name of the class of boxes.
    :param attributes: further attributes of a box, with types: ``total=iq.computed(…, Integer(), nullable=False)``.
    """

    class Base(DeclarativeBase):
        pass

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"), index=True)
        n: Mapped[int]

    namespace: dict[str, Any] = {
        "__tablename__": "box",
        "__table_args__": constraints,
        "id": mapped_column(Integer, primary_key=True),
        "items": relationship(Item),
        **attributes,
    }
    Base.kept = [Item, type(class_name, (Base,), namespace)]  # type: ignore[attr-defined]  # a registry is weak
    return Base


def is_true(environment: Environment, base: Any) -> bool:
    """Whether the system finds nothing wrong."""
    return iq.System(environment.engine, base=base, configure_sqlite=False).check().ok
