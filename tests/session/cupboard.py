"""Boxes that count their items, with a table that nothing is computed from beside them; new classes for each test."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Engine, ForeignKey, Integer, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


class Cupboard:
    """Models of one base: boxes count their items and their labels, which a link table holds."""

    def __init__(self) -> None:
        class Base(DeclarativeBase):
            pass

        class Box(Base):
            __tablename__ = "box"
            id: Mapped[int] = mapped_column(primary_key=True)
            size: Mapped[int] = iq.computed(iq.Count("items"))
            items: Mapped[list[Any]] = relationship(lambda: Item, back_populates="box")
            label_count: Mapped[int] = iq.computed(iq.Count("labels"))
            labels: Mapped[list[Any]] = relationship(lambda: Label, secondary=lambda: links)

        class Item(Base):
            __tablename__ = "item"
            id: Mapped[int] = mapped_column(primary_key=True)
            box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"))
            box: Mapped[Any] = relationship(Box, back_populates="items")

        class Label(Base):
            __tablename__ = "label"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)

        links = Table(
            "box_label",
            Base.metadata,
            Column("box_id", Integer, ForeignKey("box.id"), primary_key=True),
            Column("label_id", Integer, ForeignKey("label.id"), primary_key=True),
        )
        self.Base, self.Box, self.Item, self.Label, self.Note = Base, Box, Item, Label, Note
        self.box: Table = Base.metadata.tables["box"]
        self.item: Table = Base.metadata.tables["item"]
        self.links = links

    def system(self, engine: Engine, **options: Any) -> iq.System:
        """Make the tables with one box, and a system for sessions of its own."""
        self.Base.metadata.create_all(engine)
        system = iq.System(engine, base=self.Base, **options)
        with system.session_factory.begin() as session:
            session.add(self.Box(id=1))
        return system
