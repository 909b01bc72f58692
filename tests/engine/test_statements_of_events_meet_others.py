"""A statement that a mapper event runs writes the rows that were locked for it, and no others that come to match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.orm import sessionmaker

from tests.engine.listened import Audit, Item, Order, fill, hooked, listening, session_of
from tests.support.engines import EngineFactory

ITEM: Any = Item.__table__
MARKED = ITEM.c.note == "marked"

STATEMENTS: dict[str, Callable[[Connection, Any], object]] = {
    "update": lambda c, _: c.execute(update(ITEM).where(MARKED).values(amount=70)),
    "move": lambda c, _: c.execute(update(ITEM).where(MARKED).values(order_id=1)),
    "delete": lambda c, _: c.execute(delete(ITEM).where(MARKED)),
    "of the session": lambda _, item: session_of(item).execute(
        update(Item).where(Item.note == "marked").values(amount=7)
    ),
}


@pytest.mark.postgres
@pytest.mark.parametrize("mapped", [Item, Audit])
@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_rows_that_come_to_match(
    engine_for: EngineFactory, statement: Callable[[Connection, Any], object], mapped: type[Any]
) -> None:
    engine, other = engine_for("psycopg"), engine_for("psycopg")
    kept = fill(engine)
    others = sessionmaker(other)
    kept.system.attach(others)
    with kept.begin() as session:
        session.get_one(Item, 1).note = "marked"
    came: list[int] = []

    def locked(connection: Connection, cursor: Any, text: str, *_: Any) -> None:
        if not came and "FOR " in text and "note" in text and text.startswith("SELECT"):
            came.append(1)
            with others.begin() as beside:
                beside.add(Item(id=950, order_id=2, amount=5, note="marked"))

    with (
        hooked(mapped, "before_insert", statement),
        listening(engine, "after_cursor_execute", locked),
        kept.begin() as session,
    ):
        session.add(Item(id=50, order_id=1) if mapped is Item else Audit(id=1, text="x"))
    assert came
    kept.verify()
    with kept.sessions() as session:  # it is left to the next statement
        assert session.scalars(select(Item.amount).where(Item.id == 950)).one() == 5
        assert session.get_one(Order, 2).total == 16
