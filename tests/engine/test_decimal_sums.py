"""Sums of decimals with more digits than floats hold, which is how SQLite stores them, follow all the same."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, Numeric, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem

LONG = Numeric(30, 10)


class Base(DeclarativeBase):
    pass


class Region(Base):
    __tablename__ = "region"
    id: Mapped[int] = mapped_column(primary_key=True)
    boxes: Mapped[list[Box]] = relationship()
    total: Mapped[Decimal] = iq.computed(iq.Summation("boxes", "total"), LONG)


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int | None] = mapped_column(ForeignKey("region.id"))
    items: Mapped[list[Item]] = relationship()
    total: Mapped[Decimal] = iq.computed(iq.Summation("items", "amount"), LONG)
    weighed: Mapped[Decimal] = iq.computed(iq.WeightedSummation("items", value="amount", weight="weight"), LONG)
    mean: Mapped[Decimal | None] = iq.computed(iq.Average("items", "amount", empty=None), LONG)


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"))
    amount: Mapped[Decimal] = mapped_column(LONG)
    weight: Mapped[int] = mapped_column(default=1)


@pytest.fixture
def system(make_system: MakeSystem) -> iq.System:
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Region(id=1), Region(id=2)])
        session.flush()
        session.add_all([Box(id=1, region_id=1), Box(id=2, region_id=1), Box(id=3, region_id=2)])
    return system


@pytest.mark.parametrize("bulk", [False, True], ids=["unit of work", "statements"])
def test_a_small_amount_beside_a_large_one(system: iq.System, bulk: bool) -> None:
    small, large = Decimal("0.2"), Decimal(10) ** 16
    with system.session_factory.begin() as session:
        box = session.get_one(Box, 1)
        rows: list[dict[str, Any]] = [
            {"id": 1, "box_id": 1, "amount": large},
            {"id": 2, "box_id": 1, "amount": small},
            {"id": 3, "box_id": 2, "amount": -large},
        ]
        if bulk:
            session.execute(insert(Item), rows)
            session.execute(delete(Item).where(Item.id == 1))
        else:
            session.add_all(Item(**row) for row in rows)
            session.flush()
            session.delete(session.get_one(Item, 1))
            session.flush()
        assert (box.total, box.mean) == (small, small)
    assert system.check().ok
    with system.session_factory.begin() as session:
        session.execute(delete(Item))
        assert session.scalars(select(Box.total)).all() == [0, 0, 0]
        assert session.scalars(select(Region.total)).all() == [0, 0]
    assert system.check().ok


def test_amounts_of_every_size(system: iq.System) -> None:
    random = Random(5)

    def amount() -> Decimal:
        return Decimal(random.randint(-(10**8), 10**8)).scaleb(random.choice([-10, -4, 0, 5, 9]))

    with system.session_factory.begin() as session:
        session.execute(
            insert(Item),
            [{"id": n, "box_id": random.choice([1, 2, 3]), "amount": amount(), "weight": n % 4} for n in range(1, 31)],
        )
    for step in range(12):
        with system.session_factory.begin() as session:
            for item in session.scalars(select(Item).where(Item.id % 3 == step % 3)):
                item.amount, item.box_id = amount(), random.choice([1, 2, 3, None])
            session.flush()
            session.execute(update(Box).where(Box.id == 1 + step % 3).values(region_id=1 + step % 2))
            session.execute(update(Item).where(Item.id % 5 == step % 5).values(weight=Item.weight + 1))
        assert system.check().ok, system.check().differences


def test_ordinary_amounts_are_not_counted_again(
    system: iq.System, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Any] = []
    name = "interaqt_sa.engine.computations.agenda.recount"
    monkeypatch.setattr(name, lambda *found: counted.append(found))
    with system.session_factory.begin() as session:
        session.execute(
            insert(Item), [{"id": n, "box_id": 1 + n % 3, "amount": Decimal(f"{n}99.99")} for n in range(1, 100)]
        )
        session.execute(delete(Item).where(Item.id % 2 == 0))
    assert not counted
    assert system.check().ok
    with system.session_factory.begin() as session:
        session.add(Item(id=1000, box_id=1, amount=Decimal(10) ** 12))
    assert bool(counted) == (engine.dialect.name == "sqlite")
