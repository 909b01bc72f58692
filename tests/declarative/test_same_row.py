"""Functions of the row: what they see of it."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from interaqt_sa import ComputationError, computed
from tests.declarative.kept import Keep


class Base(DeclarativeBase):
    pass


class Chain(Base):
    __tablename__ = "chain"
    id: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[int]
    second: Mapped[int] = computed(lambda chain: chain.first + 1)
    third: Mapped[int] = computed(lambda chain: chain["second"] + 1)


def test_a_function_sees_the_computed_columns_before_it(keep: Keep) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        chain = Chain(first=1)
        session.add(chain)
        session.flush()
        chain.first = 5
        session.execute(insert(Chain), [{"first": 7}])
    assert kept.stored(Chain.second, Chain.third) == [(6, 7), (8, 9)]
    with kept.engine.begin() as connection:
        connection.execute(text("UPDATE chain SET second = 0, third = 0"))
    assert [d.expected for d in kept.system.check(Chain, property="third").differences] == [1, 1]
    kept.system.repair()
    assert kept.stored(Chain.second, Chain.third) == [(6, 7), (8, 9)]


class LateBase(DeclarativeBase):
    pass


class Late(LateBase):
    __tablename__ = "late"
    id: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[int]
    third: Mapped[int] = computed(lambda late: late.second + 1)
    second: Mapped[int] = computed(lambda late: late.first + 1)


class SelfBase(DeclarativeBase):
    pass


class Self(SelfBase):
    __tablename__ = "self"
    id: Mapped[int] = mapped_column(primary_key=True)
    first: Mapped[int]
    writes: Mapped[int] = computed(lambda row: (row["writes"] or 0) + row.first)


@pytest.mark.parametrize(("base", "model", "name"), [(LateBase, Late, "second"), (SelfBase, Self, "writes")])
def test_a_function_sees_neither_later_values_nor_its_own(
    keep: Keep, base: type[DeclarativeBase], model: type[DeclarativeBase], name: str
) -> None:
    """They would be those of before the change."""
    kept = keep(base)
    expected = f"'{name}' is computed too; a function can read only the computed columns declared before its own"
    with pytest.raises(ComputationError, match=expected), kept.begin() as session:
        session.add(model(first=1))
    with pytest.raises(ComputationError, match=expected), kept.begin() as session:
        session.execute(insert(model), [{"first": 1}])
    with kept.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {model.__tablename__} (id, first) VALUES (1, 1)"))
    with pytest.raises(ComputationError, match=expected):
        kept.system.check()
