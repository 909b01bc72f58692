"""Accounts and what hangs on them: unidirectional collections, columns that the database changes, chains of tables."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from sqlalchemy import ForeignKey, Integer, Numeric
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="")
    touched: Mapped[int] = mapped_column(server_default="0", onupdate=7)
    entry_count: Mapped[int] = iq.computed(iq.Count("entries"))
    balance: Mapped[Decimal] = iq.computed(iq.Summation("entries", "amount"), Numeric(14, 2))
    quantity: Mapped[int] = iq.computed(iq.Summation("entries", "quantity"))
    note_count: Mapped[int] = iq.computed(iq.Count("notes"))
    # neither collection has a counterpart on the member's side
    entries: Mapped[list[Entry]] = relationship(cascade="all, delete-orphan")
    notes: Mapped[list[Note]] = relationship()


class Category(Base):
    __tablename__ = "category"
    id: Mapped[int] = mapped_column(primary_key=True)
    entry_count: Mapped[int] = iq.computed(iq.Count("entries"))
    line_count: Mapped[int] = iq.computed(iq.Count("lines"))
    entries: Mapped[list[Entry]] = relationship(viewonly=True)
    lines: Mapped[list[Line]] = relationship(viewonly=True)


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))
    category_id: Mapped[int | None] = mapped_column(ForeignKey("category.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    quantity: Mapped[int] = mapped_column(Integer, server_default="3")
    # the database deletes lines, the session does not know about them
    lines: Mapped[list[Line]] = relationship(cascade="all", passive_deletes=True)


class Line(Base):
    __tablename__ = "line"
    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("entry.id", ondelete="CASCADE"))
    category_id: Mapped[int | None] = mapped_column(ForeignKey("category.id", ondelete="SET NULL"))


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id"))


class Versioned(Base):
    """A host and a member of itself, both with versions."""

    __tablename__ = "versioned"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("versioned.id"))
    version: Mapped[int] = mapped_column()
    weight: Mapped[int] = mapped_column(default=1)
    child_weight: Mapped[int] = iq.computed(iq.Summation("children", "weight"))
    children: Mapped[list[Versioned]] = relationship(back_populates="parent")
    parent: Mapped[Versioned | None] = relationship(back_populates="children", remote_side=[id])
    __mapper_args__: ClassVar = {"version_id_col": version}
