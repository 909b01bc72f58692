"""WeightedSummation: sums of products, of columns and of what callbacks return."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import BigInteger, Double, ForeignKey, Numeric, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


def weighed(line: Any) -> Any:
    if line.quantity is None:
        return None
    return {"weight": line.quantity, "value": line.rate}


class Order(Base):
    __tablename__ = "order"

    id: Mapped[int] = mapped_column(primary_key=True)
    lines: Mapped[list[Line]] = relationship(back_populates="order", cascade="all, delete-orphan")
    total: Mapped[Decimal] = iq.computed(
        iq.WeightedSummation("lines", weight="quantity", value="product.price"), Numeric(12, 2)
    )
    open_total: Mapped[Decimal] = iq.computed(
        iq.WeightedSummation("lines", weight="quantity", value="product.price", where={"on": True}), Numeric
    )
    units: Mapped[int] = iq.computed(iq.WeightedSummation("lines", weight="quantity", value="quantity"))
    rated: Mapped[float] = iq.computed(iq.WeightedSummation("lines", weight="quantity", value="rate"))
    called: Mapped[float] = iq.computed(
        iq.WeightedSummation("lines", weighed, attribute_query=["quantity", "rate"]), Double
    )


class Product(Base):
    __tablename__ = "product"

    id: Mapped[int] = mapped_column(primary_key=True)
    price: Mapped[Decimal | None] = mapped_column(Numeric(8, 2))


class Line(Base):
    __tablename__ = "line"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("order.id"))
    order: Mapped[Order | None] = relationship(back_populates="lines")
    product_id: Mapped[int | None] = mapped_column(ForeignKey("product.id"))
    product: Mapped[Product | None] = relationship()
    quantity: Mapped[int | None]
    rate: Mapped[float | None]
    on: Mapped[bool] = mapped_column(default=True)


@pytest.fixture
def orders(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all(Order(id=i) for i in (1, 2, 3))
        session.add_all(Product(id=i, price=p) for i, p in ((1, Decimal("0.10")), (2, Decimal("19.99")), (3, None)))
    return kept


def some(chance: Random) -> dict[str, Any]:
    return {
        "order_id": chance.choice([None, 1, 2, 3]),
        "product_id": chance.choice([None, 1, 2, 3]),
        "quantity": chance.choice([None, 0, 1, 3, -2, 10_000]),
        "rate": chance.choice([None, 0.1, 0.2, -1.5, 3e10]),
        "on": chance.random() < 0.5,
    }


def naive(session: Session) -> None:
    session.expire_all()
    for order in session.scalars(select(Order)):
        lines = list(session.scalars(select(Line).where(Line.order_id == order.id)))
        priced = [(line, (line.quantity or 0) * ((line.product and line.product.price) or 0)) for line in lines]
        assert order.total == sum(value for _, value in priced)
        assert order.open_total == sum(value for line, value in priced if line.on)
        assert order.units == sum((line.quantity or 0) ** 2 for line in lines)
        rated = sum(Decimal(line.quantity or 0) * Decimal(repr(line.rate or 0.0)) for line in lines)
        assert order.rated == pytest.approx(float(rated), rel=1e-12, abs=1e-9)
        assert order.called == pytest.approx(float(rated), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_every_route_of_writing(orders: Kept, seed: int) -> None:
    chance = Random(seed)
    for _ in range(25):
        with orders.begin() as session:
            ids = list(session.scalars(select(Line.id)))
            match chance.choice(["add", "insert", "change", "bulk", "price", "delete", "purge"]):
                case "add":
                    session.add_all(Line(**some(chance)) for _ in range(3))
                case "insert":
                    session.execute(insert(Line), [some(chance) for _ in range(5)])
                case "change" if ids:
                    line = session.get_one(Line, chance.choice(ids))
                    for name, value in some(chance).items():
                        setattr(line, name, value)
                case "bulk":
                    session.execute(update(Line).where(Line.id % 2 == 0).values(**some(chance)))
                case "price":
                    session.get_one(Product, chance.randint(1, 3)).price = Decimal(chance.randint(-500, 500)) / 100
                case "delete" if ids:
                    session.delete(session.get_one(Line, chance.choice(ids)))
                case "purge":
                    session.execute(delete(Line).where(Line.quantity < 2))
                case _:
                    pass
        with orders.begin() as session:
            naive(session)
        orders.verify()


def test_sums_of_floats_end_at_zero(orders: Kept) -> None:
    with orders.begin() as session:
        session.add_all(Line(order_id=1, quantity=3, rate=rate) for rate in (0.1, 1e10, 0.7, -3e-7))
    orders.run(delete(Line))
    assert orders.stored(Order.id, Order.rated, Order.called)[0] == (1, 0.0, 0.0)


@pytest.mark.parametrize("answer", [7, {"weight": 1}, {"weight": "2", "value": 3}, {"weight": True, "value": 3}])
def test_callbacks_that_return_something_else(keep: Keep, answer: Any) -> None:
    class Own(DeclarativeBase):
        pass

    class Host(Own):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Member]] = relationship()
        total: Mapped[float] = iq.computed(iq.WeightedSummation("members", lambda _: answer, attribute_query=[]))

    class Member(Own):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))

    kept = keep(Own)
    with pytest.raises(iq.ComputationError, match=r"Host\.total"), kept.begin() as session:
        session.add(Host(id=1, members=[Member(id=1)]))


def test_callbacks_of_integers(keep: Keep) -> None:
    class Own(DeclarativeBase):
        pass

    class Host(Own):
        __tablename__ = "host"
        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Member]] = relationship()
        total: Mapped[int] = iq.computed(
            iq.WeightedSummation(
                "members",
                lambda member: {"weight": member.half, "value": member.size},
                attribute_query=["half", "size"],
            )
        )

    class Member(Own):
        __tablename__ = "member"
        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int] = mapped_column(ForeignKey("host.id"))
        half: Mapped[float]
        size: Mapped[int]

    kept = keep(Own)
    with kept.begin() as session:
        session.add(Host(id=1, members=[Member(id=1, half=0.5, size=6)]))
    kept.run(
        insert(Member), [{"id": 2, "host_id": 1, "half": 2, "size": 4}, {"id": 3, "host_id": 1, "half": 1, "size": 1}]
    )
    assert kept.stored(Host.total) == [(12,)]
    with pytest.raises(
        iq.ComputationError, match=r"Host\.total.*it contributes 1\.5, but host\.total has no decimal places"
    ):
        kept.run(update(Member).where(Member.id == 3).values(half=1.5))
    assert kept.stored(Host.total) == [(12,)]


@pytest.mark.parametrize("options", [{}, {"weight": "a"}, {"weight": "a", "value": 3}, {"weight": "", "value": "b"}])
def test_what_it_takes(options: Any) -> None:
    with pytest.raises(iq.ComputationProtocolError, match="either a callback, or the names"):
        iq.WeightedSummation("lines", **options)
    with pytest.raises(iq.ComputationProtocolError, match="either a callback, or the names"):
        iq.WeightedSummation("lines", len, weight="a", attribute_query=[])


class Wide(DeclarativeBase):
    pass


class Shelf(Wide):
    __tablename__ = "shelf"

    id: Mapped[int] = mapped_column(primary_key=True)
    boxes: Mapped[list[Box]] = relationship()
    worth: Mapped[int] = iq.computed(iq.WeightedSummation("boxes", weight="pieces", value="cents"), BigInteger)
    exact: Mapped[Decimal] = iq.computed(iq.WeightedSummation("boxes", weight="pieces", value="cents"), Numeric)


class Box(Wide):
    __tablename__ = "box"

    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    pieces: Mapped[int]
    cents: Mapped[int]


def test_a_product_may_be_larger_than_its_factors_type(keep: Keep) -> None:
    kept = keep(Wide)
    with kept.begin() as session:
        boxes = [Box(pieces=2_000_000, cents=1_000_000), Box(pieces=3, cents=2_000_000_000)]
        session.add(Shelf(id=1, boxes=boxes))
    assert kept.stored(Shelf.id, Shelf.worth, Shelf.exact) == [(1, 2_006_000_000_000, 2_006_000_000_000)]
    kept.run(update(Box).values(pieces=1_000_000))
    assert kept.stored(Shelf.id, Shelf.worth) == [(1, 2_001_000_000_000_000)]
