"""What is said about mistakes of a first day names the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, String, event, func, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep


def models(computation: iq.Computation[Any]) -> tuple[Any, Any, Any]:
    class Base(DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        value: Mapped[float | None] = iq.computed(computation)
        items: Mapped[list[Item]] = relationship(back_populates="box")

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
        amount: Mapped[int] = mapped_column(default=1)
        status: Mapped[str] = mapped_column(String(10), default="open")
        box: Mapped[Box] = relationship(back_populates="items")

    return Base, Box, Item


def drop_column(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE box DROP COLUMN _value__sum"))


def drop_table(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE item"))
        connection.execute(text("DROP TABLE box"))


@pytest.mark.parametrize("observed", [False, True])
@pytest.mark.parametrize(("lose", "name"), [(drop_column, "_value__sum"), (drop_table, "box")])
def test_a_database_that_was_not_migrated(
    keep: Keep, lose: Callable[[Engine], None], name: str, observed: bool
) -> None:
    base, box, item = models(iq.Average("items", "amount"))
    kept = keep(base)
    lose(kept.engine)
    if observed:
        event.listen(kept.engine, "after_cursor_execute", lambda *_: None)
    with pytest.raises(DBAPIError) as raised, kept.begin() as session:
        session.add(box(id=1, items=[item()]))
    message = str(raised.value)
    assert f"computed values need {name!r}" in message
    assert "alembic upgrade head" in message
    assert "create_all" in message


def test_other_missing_tables_are_not_ours(keep: Keep) -> None:
    base, *_ = models(iq.Count("items"))
    kept = keep(base)
    with pytest.raises(DBAPIError) as raised, kept.begin() as session:
        session.execute(text("SELECT * FROM elsewhere"))
    assert "computed values" not in str(raised.value)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"status": ["open", "paid"]}, r"\('in', \['open', 'paid'\]\)"),
        (lambda item: item.status < func.now(), "gives another value each time"),
        (lambda item: item.amount < func.random(), "gives another value each time"),
        (lambda item: item.status < func.current_date(), "gives another value each time"),
    ],
)
def test_conditions(keep: Keep, where: Any, message: str) -> None:
    base, box, _ = models(iq.Count("items", where=where))
    kept = keep(base)
    with pytest.raises(iq.DefinitionError) as raised, kept.begin() as session:
        session.add(box(id=1))
    (fault,) = raised.value.exceptions
    with pytest.raises(type(fault), match=message):
        raise fault
