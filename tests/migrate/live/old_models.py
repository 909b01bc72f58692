"""The models before: a host counts its items, and has a label that is made of the count."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.live.functions import total


class Base(DeclarativeBase):
    """The base of the old version."""


class Region(Base):
    """Adds up the values of its hosts."""

    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    hosts: Mapped[list[Host]] = relationship()
    spent: Mapped[int] = iq.computed(iq.Summation("hosts", "spent"))


class Host(Base):
    """``count`` and ``label`` are not in the new version, and ``spent`` is another sum there."""

    __tablename__ = "host"
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int] = mapped_column(ForeignKey("region.id"), index=True)
    name: Mapped[str]
    items: Mapped[list[Item]] = relationship()
    spent: Mapped[int] = iq.computed(iq.Summation("items", "total"))
    count: Mapped[int] = iq.computed(iq.Count("items"))
    label: Mapped[str] = iq.computed(lambda host: f"{host.name}: {host.count}")


class Item(Base):
    """What is bought."""

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id"), index=True)
    price: Mapped[int]
    qty: Mapped[int]
    tag: Mapped[str | None]
    total: Mapped[int] = iq.computed(total)
