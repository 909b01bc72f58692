"""A computed attribute may be given the value that it has, in any numeric type and by any route."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import ForeignKey, Numeric, String, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, column_property, deferred, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept

UP, DOWN = iq.StateNode("up"), iq.StateNode("down")


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="a")
    count: Mapped[int] = iq.computed(iq.Count("items"))
    spent: Mapped[Decimal] = iq.computed(iq.Summation("items", "price"), Numeric(10, 2))
    mean: Mapped[float | None] = iq.computed(iq.Average("items", "price"))
    full: Mapped[bool] = iq.computed(iq.Any("items", expression={"price": (">", 5)}))
    label: Mapped[str | None] = iq.computed(lambda box: box.name.upper())
    state: Mapped[str] = iq.computed(iq.StateMachine(states=[UP, DOWN], initial_state=UP, transfers=[]), String(8))
    items: Mapped[list[Item]] = relationship(back_populates="box")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int] = mapped_column(ForeignKey("box.id"))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    box: Mapped[Box] = relationship(back_populates="items")


#: what box 1 has, in other types, and with other places
EQUAL: dict[str, list[Any]] = {
    "count": [2, 2.0],
    "spent": [Decimal("7.5"), Decimal("7.500"), 7.5],
    "mean": [3.75, Decimal("3.75")],
    "full": [True, 1],
    "label": ["A"],
    "state": ["up"],
}
OTHER: dict[str, Any] = {
    "count": 3,
    "spent": Decimal("7.51"),
    "mean": None,
    "full": False,
    "label": "a",
    "state": "down",
}
EMPTY: dict[str, list[Any]] = {
    "count": [0, 0.0, None],
    "spent": [0, Decimal("0.00"), 0.0, None],
    "full": [False, 0, None],
    "label": [None],
    "state": ["up", None],
}


@pytest.fixture
def kept(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add(Box(id=1, items=[Item(price=Decimal("1.50")), Item(price=Decimal(6))]))
    return kept


def assign(session: Session, kept: Kept, name: str, value: Any) -> None:
    box = session.get_one(Box, 1)
    setattr(box, name, value)
    box.name = "b"


def by_key(session: Session, kept: Kept, name: str, value: Any) -> None:
    session.execute(update(Box), [{"id": 1, "name": "b", name: value}])


def bulk(session: Session, kept: Kept, name: str, value: Any) -> None:
    statement = update(Box).where(Box.id == 1).values({"name": "b", name: value})
    session.execute(statement, execution_options={"synchronize_session": False})


def core(session: Session, kept: Kept, name: str, value: Any) -> None:
    table: Any = Box.__table__
    session.execute(update(table).where(table.c.id == 1), {"name": "b", name: value})


def store(session: Session, kept: Kept, name: str, value: Any) -> None:
    kept.system.storage.with_session(session).update(Box, {"id": 1}, {"name": "b", name: value})


ROUTES: list[Callable[..., None]] = [assign, by_key, bulk, core, store]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in EQUAL.items() for value in values])
def test_the_value_that_it_has(kept: Kept, route: Callable[..., None], name: str, value: Any) -> None:
    with kept.begin() as session:
        route(session, kept, name, value)
    assert kept.stored(Box.name, Box.count, Box.spent, Box.label) == [("b", 2, Decimal("7.50"), "B")]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("name", OTHER)
def test_another_value(kept: Kept, route: Callable[..., None], name: str) -> None:
    # records by name tell it in their own words
    refused = (iq.ComputedWriteError, iq.FrameworkError)
    with pytest.raises(refused, match="comput"), kept.begin() as session:
        route(session, kept, name, OTHER[name])
    assert kept.stored(Box.name, Box.count, Box.spent) == [("a", 2, Decimal("7.50"))]


def test_the_column_itself(kept: Kept) -> None:
    with kept.begin() as session:
        session.execute(update(Box).values(count=Box.count, name="b"))
    assert kept.stored(Box.name, Box.count) == [("b", 2)]
    with pytest.raises(iq.ComputedWriteError), kept.begin() as session:
        session.execute(update(Box).values(count=Box.count + 1))


@pytest.mark.parametrize(
    ("route", "name", "value"),
    [
        (route, name, value)
        for route in ("constructor", "insert", "upsert")
        for name, values in EMPTY.items()
        for value in values
        # a statement writes the NULL that it is given, which most columns refuse
        if value is not None or route == "constructor" or name == "label"
    ],
)
def test_the_empty_value_of_a_new_row(kept: Kept, route: str, name: str, value: Any) -> None:
    create(kept, route, name, value)
    assert kept.stored(Box.id, Box.count, Box.spent, Box.label, Box.state)[1:] == [(2, 0, 0, "C", "up")]


def test_a_number_that_the_driver_would_not_take(kept: Kept) -> None:
    """An object keeps the value that it has, in the type of its column."""
    with kept.begin() as session:
        session.get_one(Box, 1).count = Decimal(2)  # type: ignore[assignment]
        session.add(Box(id=2, count=Decimal(0)))
        session.flush()
        assert [type(box.count) for box in session.query(Box)] == [int, int]
    kept.verify()


@pytest.mark.parametrize("route", ["constructor", "insert", "upsert"])
@pytest.mark.parametrize("name", OTHER)
def test_another_value_of_a_new_row(kept: Kept, route: str, name: str) -> None:
    value = OTHER[name] if name not in {"full", "mean"} else 1
    with pytest.raises(iq.ComputedWriteError):
        create(kept, route, name, value)
    assert [row[0] for row in kept.stored(Box.id)] == [1]


def create(kept: Kept, route: str, name: str, value: Any) -> None:
    row = {"id": 2, "name": "c", name: value}
    with kept.begin() as session:
        if route == "constructor":
            session.add(Box(**row))
        elif route == "insert":
            session.execute(insert(Box), [row])
        else:
            make: Any = postgresql.insert if kept.engine.dialect.name == "postgresql" else sqlite.insert
            statement = make(Box).on_conflict_do_update(index_elements=["id"], set_={"name": "c"})
            session.execute(statement, [row])


@pytest.mark.parametrize(
    "declare", [iq.computed, lambda c: column_property(_column(c)), lambda c: deferred(_column(c))]
)
def test_merge_of_an_object_with_a_stale_value(keep: Keep, declare: Callable[[Any], Any]) -> None:
    """It was not assigned, and the session has the fresh one."""

    class Base(DeclarativeBase):
        pass

    class Parent(Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(default="p")
        children: Mapped[list[Child]] = relationship(back_populates="parent")
        number: Mapped[int] = declare(iq.Count("children"))

    class Child(Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
        parent: Mapped[Parent] = relationship(back_populates="children")

    kept = keep(Base, expire_on_commit=False)
    with kept.begin() as session:
        session.add(Parent(id=1, children=[Child()]))
    with kept.begin() as session:
        parent = session.get_one(Parent, 1)
        assert parent.number == 1
    with kept.begin() as session:
        session.add(Child(parent_id=1))
    parent.name = "q"
    with kept.begin() as session:
        merged = session.merge(parent)
        session.flush()
        assert (merged.name, merged.number) == ("q", 2)
    assert kept.stored(Parent.number) == [(2,)]


def _column(computation: Any) -> Any:
    from sqlalchemy import Column, Integer

    return Column(Integer, computation)
