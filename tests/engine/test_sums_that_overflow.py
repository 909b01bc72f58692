"""Sums beyond 64 bits, or beyond all floats, are refused on every database; SQLite would store another number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import BigInteger, Double, Engine, ForeignKey, delete, insert, select, update
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import interaqt_sa as iq

_HALF = 2**62


class Base(DeclarativeBase):
    pass


class Box(Base):
    __tablename__ = "box"

    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship(back_populates="box")
    total: Mapped[int] = iq.computed(iq.Summation("items", "weight"), BigInteger)
    weighted: Mapped[int] = iq.computed(
        iq.WeightedSummation(
            "items", callback=lambda item: {"weight": 1, "value": item.weight}, attribute_query=["weight"]
        ),
        BigInteger,
    )


class Item(Base):
    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"))
    weight: Mapped[int] = mapped_column(BigInteger)
    box: Mapped[Box | None] = relationship(back_populates="items")


class Heap(Base):
    __tablename__ = "heap"

    id: Mapped[int] = mapped_column(primary_key=True)
    grains: Mapped[list[Grain]] = relationship(back_populates="heap")
    total: Mapped[float] = iq.computed(iq.Summation("grains", "weight"), Double)
    mean: Mapped[float] = iq.computed(iq.Average("grains", "weight"), Double)


class Grain(Base):
    __tablename__ = "grain"

    id: Mapped[int] = mapped_column(primary_key=True)
    heap_id: Mapped[int | None] = mapped_column(ForeignKey("heap.id"))
    weight: Mapped[float] = mapped_column(Double)
    heap: Mapped[Heap | None] = relationship(back_populates="grains")


WRITES: dict[str, Callable[[Session], Any]] = {
    "objects": lambda session: session.add(Item(id=11, box_id=1, weight=_HALF)),
    "bulk insert": lambda session: session.execute(insert(Item), [{"id": 11, "box_id": 1, "weight": _HALF}]),
    "of one statement": lambda session: session.execute(
        insert(Item), [{"id": n, "box_id": 2, "weight": _HALF} for n in (11, 12)]
    ),
    "bulk update": lambda session: session.execute(update(Item).values(weight=2**63 - 1).where(Item.id == 1)),
    "re-parented": lambda session: session.execute(update(Item).values(box_id=1).where(Item.id == 3)),
    "negative": lambda session: session.add_all([Item(id=n, box_id=2, weight=-_HALF - 1) for n in (11, 12)]),
}


@pytest.mark.parametrize("write", WRITES)
def test_sums_beyond_64_bits(engine: Engine, write: str) -> None:
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=Base)
    with sessions.begin() as session:
        session.add_all([Box(id=1), Box(id=2), Item(id=1, box_id=1, weight=_HALF), Item(id=2, box_id=1, weight=1)])
        session.add(Item(id=3, weight=2**63 - 1))
    with pytest.raises((iq.InvalidValueError, DataError, OperationalError, OverflowError)), sessions.begin() as session:
        WRITES[write](session)
    assert system.check()
    with sessions() as session:
        assert session.scalars(select(Box.total).order_by(Box.id)).all() == [_HALF + 1, 0]
        assert session.scalars(select(Item.id).order_by(Item.id)).all() == [1, 2, 3]
    with sessions.begin() as session:
        session.execute(delete(Item).where(Item.id == 1))
        session.add(Item(id=4, box_id=1, weight=_HALF - 2))
    assert system.check()


_HUGE = 1.5e308
FLOAT_WRITES: dict[str, Callable[[Session], Any]] = {
    "objects": lambda session: session.add(Grain(id=11, heap_id=1, weight=_HUGE)),
    "bulk insert": lambda session: session.execute(insert(Grain), [{"id": 11, "heap_id": 1, "weight": _HUGE}]),
    "of one statement": lambda session: session.execute(
        insert(Grain), [{"id": n, "heap_id": 2, "weight": -_HUGE} for n in (11, 12)]
    ),
    "re-parented": lambda session: session.execute(update(Grain).values(heap_id=1).where(Grain.id == 2)),
    "a host with members": lambda session: session.add_all(
        [Grain(id=11, heap_id=3, weight=_HUGE), Grain(id=12, heap_id=3, weight=_HUGE), Heap(id=3)]
    ),
}


@pytest.mark.parametrize("write", FLOAT_WRITES)
def test_sums_beyond_the_largest_float(engine: Engine, write: str) -> None:
    """SQLite would store infinity."""
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=Base)
    with sessions.begin() as session:
        session.add_all([Heap(id=1), Heap(id=2), Grain(id=1, heap_id=1, weight=_HUGE), Grain(id=2, weight=_HUGE)])
        session.add(Grain(id=3, heap_id=2, weight=math.inf))
    with pytest.raises((iq.InvalidValueError, DataError)) as caught, sessions.begin() as session:
        FLOAT_WRITES[write](session)
    if engine.dialect.name == "sqlite":
        assert isinstance(caught.value, iq.InvalidValueError)
        assert (caught.value.code, caught.value.record, caught.value.property) == ("INVALID_VALUE", "Heap", "total")
    assert system.check()
    with sessions() as session:
        assert session.scalars(select(Heap.total).order_by(Heap.id)).all() == [_HUGE, 0]
        assert session.scalars(select(Heap.mean).order_by(Heap.id)).all() == [_HUGE, 0]
    with sessions.begin() as session:
        session.add(Grain(id=4, heap_id=1, weight=-_HUGE))
        session.add(Grain(id=5, heap_id=1, weight=_HUGE / 2))
    assert system.check()


def test_a_repair_refuses_what_a_write_refuses(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    with sessions.begin() as session:
        session.add_all([Heap(id=1, total=0, mean=0), *(Grain(heap_id=1, weight=_HUGE) for _ in range(2))])
    system = iq.System(sessions, base=Base)
    with pytest.raises((iq.InvalidValueError, DataError)):
        system.repair()
    with sessions() as session:
        assert session.scalars(select(Heap.total)).all() == [0]


@pytest.mark.parametrize("weight", [_HUGE, -_HUGE])
def test_the_storage_says_so_of_floats(engine: Engine, weight: float) -> None:
    Base.metadata.create_all(engine)
    storage = iq.System(sessionmaker(engine), base=Base).storage
    storage.create("Heap", {"id": 1, "grains": [{"weight": weight}]})
    with pytest.raises(iq.InvalidValueError) as caught:
        storage.create("Grain", {"weight": weight, "heap": {"id": 1}})
    assert caught.value.code == "INVALID_VALUE"
    assert storage.count("Grain") == 1


def test_the_storage_says_so(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    storage = iq.System(sessionmaker(engine), base=Base).storage
    storage.create("Box", {"id": 1, "items": [{"weight": _HALF}]})
    with pytest.raises(iq.InvalidValueError) as caught:
        storage.create("Item", {"weight": _HALF, "box": {"id": 1}})
    assert caught.value.code == "INVALID_VALUE"
    assert storage.count("Item") == 1
