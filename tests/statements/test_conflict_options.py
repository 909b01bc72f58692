"""SQLite: what tables declare about conflicts leaves no part of a statement behind."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, ForeignKey, MetaData, UniqueConstraint, insert, select, text, update
from sqlalchemy.exc import IntegrityError, PendingRollbackError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Kept


def models(resolution: str) -> Any:
    class Base(DeclarativeBase):
        metadata = MetaData()

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        items: Mapped[list["Item"]] = relationship()  # noqa: UP037
        amount: Mapped[int] = iq.computed(iq.Summation("items", "amount"))

    class Item(Base):
        __tablename__ = "item"
        __table_args__ = (
            UniqueConstraint("code", sqlite_on_conflict=resolution),
            CheckConstraint("amount < 100"),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
        code: Mapped[int]
        amount: Mapped[int]
        needed: Mapped[int] = mapped_column(default=1, sqlite_on_conflict_not_null=resolution)

    return Base, Box, Item


@pytest.fixture(params=["FAIL", "ROLLBACK", "ABORT"])
def shop(request: pytest.FixtureRequest, engine: Any) -> Any:
    if engine.dialect.name != "sqlite":
        pytest.skip("SQLite alone has such options")
    base, box, item = models(request.param)
    kept = Kept(engine, base)
    with kept.begin() as session:
        session.add(box(id=1, items=[item(id=1, code=1, amount=1)]))
    return kept, item


ROWS = [{"id": n, "box_id": 1, "code": code, "amount": 5} for n, code in ((5, 5), (6, 1), (7, 7))]


@pytest.mark.parametrize("form", ["list", "values", "select", "update", "list of updates", "missing value"])
def test_neither_rows_nor_a_part_of_what_follows(shop: Any, form: str) -> None:
    kept, item = shop
    columns = ["id", "box_id", "code", "amount"]
    statements: dict[str, Any] = {
        "list": (insert(item), ROWS),
        "values": (insert(item).values(ROWS), None),
        "select": (
            insert(item).from_select(columns, select(item.id + 8, item.box_id, 2 - item.code, item.amount)),
            None,
        ),
        "update": (update(item).values(code=3, amount=9), None),
        "list of updates": (update(item), [{"id": 2, "code": 2, "amount": 9}, {"id": 1, "code": 2, "amount": 3}]),
        "missing value": (
            insert(item).values([{**row, "code": row["id"], "needed": 7 - row["id"] or None} for row in ROWS]),
            None,
        ),
    }
    with kept.begin() as session:
        session.execute(insert(item), [{"id": n, "box_id": 1, "code": n, "amount": 1} for n in (2, 3)])
    before = kept.stored(item.id, item.code, item.amount)
    statement, rows = statements[form]
    with kept.sessions() as session:
        with pytest.raises(IntegrityError):
            session.execute(statement, rows)
        with suppress(PendingRollbackError):  # ON CONFLICT ROLLBACK has ended the transaction
            session.commit()
    assert kept.stored(item.id, item.code, item.amount) == before


def test_the_transaction_that_the_database_has_ended_goes_on_as_a_whole(shop: Any) -> None:
    kept, item = shop
    with kept.sessions() as session:
        with pytest.raises(IntegrityError):
            session.execute(insert(item).values(ROWS[1]))
        session.rollback()
        with pytest.raises(IntegrityError):
            session.execute(insert(item).values(ROWS[1]))
        session.execute(insert(item).values(ROWS[0]))
        session.rollback()
    assert kept.stored(item.id, item.code) == [(1, 1)]


def test_a_trigger_that_stops_halfway(shop: Any) -> None:
    kept, item = shop
    with kept.engine.begin() as connection:
        connection.execute(
            text("CREATE TRIGGER stop BEFORE INSERT ON item WHEN new.code = 7 BEGIN SELECT raise(FAIL, 'seven'); END")
        )
    with kept.sessions() as session:
        with pytest.raises(IntegrityError):
            session.execute(insert(item).values([ROWS[0], ROWS[2]]))
        session.commit()
    assert kept.stored(item.id, item.code) == [(1, 1)]
