"""The result of a statement is what it would be without a System."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, literal_column, select, update
from sqlalchemy.orm import Session, sessionmaker

from tests.declarative.kept import Kept
from tests.statements.boxes import Base, Box, Item

ITEMS: Any = Item.__table__
ROW = {"id": 50, "box_id": 1, "amount": 2}
ROW_OF_COLUMNS = {"id": 50, "box_id": 1, "amount_of": 2}


def mapping(row: Any, *keys: Any) -> list[Any]:
    return [row._mapping[key] for key in keys]


def asked_defaults(session: Session, statement: Any, rows: Any = None) -> Any:
    result: Any = session.execute(statement, rows)
    rows_of_defaults = result.returned_defaults_rows
    told = None if rows_of_defaults is None else [(*row,) for row in rows_of_defaults]
    answer: list[Any] = [told, result.all() if result.returns_rows else None]
    return answer if rows else [*answer, result.returned_defaults]


RESULTS: dict[str, Callable[[Session], Any]] = {
    "attributes": lambda s: mapping(
        s.execute(insert(Item).values(ROW).returning(Item.id, Item.amount)).one(), Item.amount, Item.id
    ),
    "columns": lambda s: mapping(
        s.execute(insert(ITEMS).values(ROW_OF_COLUMNS).returning(ITEMS.c.box_id, ITEMS.c.id)).one(),
        ITEMS.c.id,
        ITEMS.c.box_id,
    ),
    "names": lambda s: dict(
        s.execute(insert(Item).values(ROW).returning(Item.id, Item.amount.label("w"))).mappings().one()
    ),
    "key": lambda s: s.execute(insert(Item).values(ROW)).inserted_primary_key.id,  # type: ignore[attr-defined]
    "keys": lambda s: [tuple(k) for k in s.execute(insert(ITEMS).values(ROW_OF_COLUMNS)).inserted_primary_key_rows],  # type: ignore[attr-defined]
    "kind": lambda s: (s.execute(insert(Item).values(ROW)).is_insert, s.execute(delete(Item)).returns_rows),  # type: ignore[attr-defined]
    "rowcount": lambda s: s.execute(insert(Item).values(ROW)).rowcount,  # type: ignore[attr-defined]
    "rowcount of an update": lambda s: s.execute(update(Item).where(Item.id < 3).values(amount=9)).rowcount,  # type: ignore[attr-defined]
    "rowcount of a delete": lambda s: s.execute(delete(ITEMS).where(ITEMS.c.id < 3)).rowcount,  # type: ignore[attr-defined]
    "sane": lambda s: s.execute(insert(Item).values(ROW)).supports_sane_rowcount(),  # type: ignore[attr-defined]
    "scalars": lambda s: s.scalars(insert(Item).returning(Item.id), [ROW, {**ROW, "id": 51}]).all(),
    "objects": lambda s: [(i.id, i.amount, i in s) for i in s.scalars(insert(Item).returning(Item), [ROW])],
    "object and column": lambda s: [(i.id, n) for i, n in s.execute(insert(Item).returning(Item, Item.amount), [ROW])],
    "unique": lambda s: len(s.execute(update(Item).values(amount=1).returning(Item.amount)).unique().all()),
    "frozen": lambda s: len(s.execute(insert(Item).returning(Item.id), [ROW]).freeze()().all()),
    "partitions": lambda s: [
        [tuple(r) for r in p] for p in s.execute(insert(ITEMS).returning(ITEMS.c.id), [ROW_OF_COLUMNS]).partitions(1)
    ],
    "deleted star": lambda s: len(s.execute(delete(Item).where(Item.id == 1).returning(literal_column("*"))).all()),
    "updated star": lambda s: len(
        s.execute(update(Item).where(Item.id == 1).values(amount=3).returning(literal_column("*"))).all()
    ),
    "updated objects": lambda s: [
        i.amount for i in s.scalars(update(Item).where(Item.id < 3).values(amount=7).returning(Item))
    ],
    "first": lambda s: tuple(s.execute(delete(Item).where(Item.id == 2).returning(Item.id)).first() or ()),
    "defaults": lambda s: asked_defaults(s, insert(Item).values(ROW).return_defaults()),
    "defaults of a table": lambda s: asked_defaults(
        s, insert(ITEMS).values(ROW_OF_COLUMNS).return_defaults(ITEMS.c.note_key)
    ),
    "defaults of many": lambda s: asked_defaults(
        s, insert(ITEMS).return_defaults(), [{**ROW_OF_COLUMNS, "id": n} for n in (51, 52)]
    ),
    "defaults of an update": lambda s: asked_defaults(
        s, update(Item).where(Item.id == 1).values(amount=4).return_defaults(Item.doubled)
    )[0],
    "rowcount of a list": lambda s: hasattr(s.execute(insert(Item), [ROW]), "rowcount"),
    "no rows": lambda s: s.execute(delete(Item).where(Item.id == 99).returning(Item.id)).all(),
}


def without_and_with(boxes: Kept, work: Callable[[Session], Any]) -> tuple[Any, Any]:
    plain = sessionmaker(boxes.engine)
    with plain() as session:
        expected = work(session)
        session.rollback()
    with boxes.begin() as session:
        found = work(session)
    boxes.verify()
    return expected, found


@pytest.mark.parametrize("work", RESULTS.values(), ids=RESULTS)
def test_the_same(boxes: Kept, work: Any) -> None:
    # same-row values are NOT NULL and have a default, so that rows can be written without a System
    assert Base.metadata.tables["item"].c.doubled.server_default is not None
    expected, found = without_and_with(boxes, work)
    assert found == expected or (found, expected) == (1, -1)  # psycopg does not tell it of all forms


def test_the_last_row_id(boxes: Kept) -> None:
    if boxes.engine.dialect.name == "postgresql":
        return  # psycopg has none
    expected, found = without_and_with(boxes, lambda s: s.execute(insert(ITEMS).values(ROW_OF_COLUMNS)).lastrowid)  # type: ignore[attr-defined]
    assert found == expected == 50


def test_what_a_cursor_does_not_have_either(boxes: Kept) -> None:
    with boxes.begin() as session, pytest.raises(AttributeError, match="nonsense"):
        _ = session.execute(insert(Item).values(ROW)).nonsense  # type: ignore[attr-defined]


@pytest.mark.parametrize("synchronize", ["auto", "evaluate", "fetch", False])
def test_loaded_objects(boxes: Kept, synchronize: Any) -> None:
    def work(session: Session) -> Any:
        items = {n: session.get_one(Item, n) for n in (1, 2, 3)}
        options = {"synchronize_session": synchronize}
        session.execute(update(Item).where(Item.amount > 1).values(note="big"), execution_options=options)
        session.execute(delete(Item).where(Item.amount == 3), execution_options=options)
        seen = [(n, item.note if item in session else "gone") for n, item in items.items()]
        session.expire_all()
        return seen

    expected, found = without_and_with(boxes, work)
    assert found == expected


def test_criteria_of_loaders_narrow_the_statement(boxes: Kept) -> None:
    from sqlalchemy.orm import with_loader_criteria

    def work(session: Session) -> Any:
        statement = update(Item).values(amount=50).options(with_loader_criteria(Item, Item.id > 1))
        count = session.execute(statement).rowcount  # type: ignore[attr-defined]
        return count, session.scalars(select(Item.amount).order_by(Item.id)).all()

    expected, found = without_and_with(boxes, work)
    assert found == expected
    assert boxes.stored(Box.id, Box.amount) == [(1, 101), (2, 0)]
