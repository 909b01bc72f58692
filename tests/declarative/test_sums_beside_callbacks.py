"""A callback on a relationship does not change the other sums over it: their numbers pass unchanged."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Dialect, Double, ForeignKey, Integer, Numeric, delete, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

import interaqt_sa as iq
from tests.declarative.kept import Keep


class Cents(TypeDecorator[Decimal]):
    """An amount, stored as an integer number of cents."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value * 100)

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value) / 100


def _models(arguments: Any) -> tuple[type[DeclarativeBase], type[Any], type[Any]]:
    class Base(DeclarativeBase):
        pass

    class Host(Base):
        __tablename__ = "host"

        id: Mapped[int] = mapped_column(primary_key=True)
        members: Mapped[list[Member]] = relationship()
        cents: Mapped[Decimal] = iq.computed(iq.Summation("members", "cents"), Cents)
        amount: Mapped[Decimal] = iq.computed(iq.Summation("members", "amount"), Numeric(20, 2))
        product: Mapped[Decimal] = iq.computed(
            iq.WeightedSummation("members", weight="rate", value="amount"), Numeric(20, 5)
        )
        mean: Mapped[float] = iq.computed(iq.Average("members", "amount"), Double)
        size: Mapped[float] = iq.computed(iq.Summation("members", "size"), Double)
        big: Mapped[int] = iq.computed(iq.Summation("members", "big"), BigInteger)
        count: Mapped[int] = iq.computed(iq.Count("members"))
        called: Mapped[Decimal] = iq.computed(*arguments)

    class Member(Base):
        __tablename__ = "member"

        id: Mapped[int] = mapped_column(primary_key=True)
        host_id: Mapped[int | None] = mapped_column(ForeignKey("host.id"))
        cents: Mapped[Decimal] = mapped_column(Cents)
        amount: Mapped[Decimal] = mapped_column(Numeric(14, 2))
        rate: Mapped[Decimal] = mapped_column(Numeric(8, 3))
        size: Mapped[float]
        big: Mapped[int] = mapped_column(BigInteger)

    return Base, Host, Member


_ROWS = [
    {"cents": Decimal("1.23"), "amount": Decimal("12.25"), "rate": Decimal("1.125"), "size": 0.1, "big": 2**61 + 1},
    {"cents": Decimal("2.01"), "amount": Decimal("0.05"), "rate": Decimal("0.333"), "size": 0.2, "big": 2**53 + 1},
    {"cents": Decimal("0.99"), "amount": Decimal("99.99"), "rate": Decimal("7.777"), "size": 1e-9, "big": 3},
]

CALLBACKS: dict[str, Any] = {
    "count": (iq.Count("members", callback=lambda m: m.cents > 1, attribute_query=["cents"]), Integer),
    "every": (iq.Every("members", callback=lambda m: m.amount > 1, attribute_query=["amount"]), Boolean),
    "weighted": (
        iq.WeightedSummation(
            "members", callback=lambda m: {"weight": m.rate, "value": m.amount}, attribute_query=["rate", "amount"]
        ),
        Numeric(20, 5),
    ),
}


@pytest.mark.parametrize("called", CALLBACKS)
def test_they_are_the_same_as_without_it(keep: Keep, called: str) -> None:
    base, host, member = _models(CALLBACKS[called])
    kept = keep(base)
    columns = (host.cents, host.amount, host.product, host.mean, host.size, host.big, host.count)

    def expected(*rows: int) -> tuple[Any, ...]:
        members = [_ROWS[n] for n in rows]
        amounts = [row["amount"] for row in members]
        return (
            sum(row["cents"] for row in members),
            sum(amounts),
            sum(row["rate"] * row["amount"] for row in members),
            pytest.approx(float(sum(amounts) / len(members))),
            float(sum(Decimal(repr(row["size"])) for row in members)),
            sum(row["big"] for row in members),
            len(members),
        )

    with kept.begin() as session:
        session.add(host(id=1, members=[member(id=1, **_ROWS[0])]))
    assert kept.stored(*columns) == [expected(0)]
    kept.run(insert(member), [{"id": n + 1, "host_id": 1, **_ROWS[n]} for n in (1, 2)])
    assert kept.stored(*columns) == [expected(0, 1, 2)]
    kept.run(update(member).where(member.id == 2).values(**_ROWS[0]))
    assert kept.stored(*columns) == [expected(0, 0, 2)]
    kept.run(delete(member).where(member.id == 1))
    assert kept.stored(*columns) == [expected(0, 2)]
    assert kept.system.repair().ok
    assert kept.stored(*columns) == [expected(0, 2)]
