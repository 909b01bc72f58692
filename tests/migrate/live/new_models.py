"""The models after: values were added, one changed (and with it what is computed from it), two dropped."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.migrate.live.functions import total


class Base(DeclarativeBase):
    """The base of the new version."""


class Region(Base):
    """Adds up the values of its hosts, as before."""

    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    hosts: Mapped[list[Host]] = relationship()
    spent: Mapped[int] = iq.computed(iq.Summation("hosts", "spent"))


class Host(Base):
    """``spent`` leaves out single pieces; ``mean``, ``dearest`` and the NOT NULL ``note`` and ``due`` are new."""

    __tablename__ = "host"
    __table_args__ = (Index("ix_host_spent", "spent", postgresql_concurrently=True),)
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int] = mapped_column(ForeignKey("region.id"), index=True)
    name: Mapped[str]
    items: Mapped[list[Item]] = relationship()
    spent: Mapped[int] = iq.computed(iq.Summation("items", "total", where={"qty": (">", 1)}))
    mean: Mapped[float] = iq.computed(iq.Average("items", "price"))
    dearest: Mapped[int | None] = iq.computed(iq.Max("items", "price"))
    note: Mapped[str] = iq.computed(lambda host: f"{host.name} spent {host.spent}")
    due: Mapped[date] = iq.computed(lambda host: date(2026, 1, 1) + timedelta(days=host.spent % 300))


class Item(Base):
    """What is bought; ``tag`` is required now."""

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    host_id: Mapped[int] = mapped_column(ForeignKey("host.id"), index=True)
    price: Mapped[int]
    qty: Mapped[int]
    tag: Mapped[str]
    total: Mapped[int] = iq.computed(total)
