"""Boxes with items; each item has a value of its own row."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, MetaData, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState


class Base(DeclarativeBase):
    metadata = MetaData()


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship()
    item_count: Mapped[int] = iq.computed(iq.Count("items"))
    amount: Mapped[int] = iq.computed(iq.Summation("items", "amount"))
    doubled: Mapped[int] = iq.computed(iq.Summation("items", "doubled"))


class Item(Base):
    """An item whose attributes, columns and keys of columns differ."""

    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
    amount: Mapped[int] = mapped_column("amount_of", default=1)
    note: Mapped[str | None] = mapped_column("note_text", key="note_key")
    doubled: Mapped[int] = iq.computed(lambda item: item.amount * 2)


def fill(session: Session) -> None:
    """Add two boxes, the first with items of 1, 2 and 3."""
    session.add_all([Box(id=1, items=[Item(id=n, amount=n, note=f"n{n}") for n in (1, 2, 3)]), Box(id=2)])


def snapshot(session: Session) -> dict[int, dict[str, Any]]:
    """Return the stored items by id."""
    names = ("id", "box_id", "amount", "note", "doubled")
    rows = session.execute(select(*(getattr(Item, name) for name in names)))
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def listen(session: Session) -> SessionState:
    """Let the session collect mutation events."""
    state = SessionState.of(session)
    state.collect_events = True
    return state


def told(state: SessionState) -> list[tuple[str, int]]:
    """Return type and id of the events of items so far, each once, in order of the ids."""
    events = {
        (e.type, (e.record or e.old_record or {})["id"]) for e in state.transaction.events if e.record_name == "Item"
    }
    return sorted(events, key=lambda event: (event[1], event[0]))


def expected_events(before: dict[int, Any], after: dict[int, Any]) -> list[tuple[str, int]]:
    """Return the events that tell the difference between two snapshots."""
    found = [("create", n) for n in after.keys() - before.keys()] + [
        ("delete", n) for n in before.keys() - after.keys()
    ]
    found += [("update", n) for n in before.keys() & after.keys() if before[n] != after[n]]
    return sorted(found, key=lambda event: (event[1], event[0]))
