"""Transforms and triggers that wait for a subclass: what counts is the class of a row, not how it is written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import ForeignKey, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import StateMachine, StateNode, StateTransfer, Summation, Transform, Trigger, computed
from tests.declarative.kept import Keep, Kept

CALM, ALARMED = StateNode("calm"), StateNode("alarmed")


def _models(kind: str) -> Any:
    class Base(DeclarativeBase):
        pass

    class Account(Base):
        __tablename__ = "account"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "account"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        note: Mapped[int] = mapped_column(default=0)
        items: Mapped[list[Item]] = relationship(back_populates="account")
        total: Mapped[int] = computed(Summation("items", "amount"))

    class Savings(Account):
        """The reactions wait for it."""

        __mapper_args__ = {"polymorphic_identity": "savings"}
        if kind == "joined":
            __tablename__ = "savings"
            id: Mapped[int] = mapped_column(ForeignKey("account.id"), primary_key=True)
        rate: Mapped[int | None]

    class Item(Base):
        __tablename__ = "item"
        id: Mapped[int] = mapped_column(primary_key=True)
        account_id: Mapped[int] = mapped_column(ForeignKey("account.id"))
        amount: Mapped[int]
        account: Mapped[Account] = relationship(back_populates="items")

    class Statement(Base):
        __tablename__ = "statement"
        __computation__ = Transform(Savings, lambda s: {"total": s.total, "note": s.note, "rate": s.rate})
        id: Mapped[int] = mapped_column(primary_key=True)
        total: Mapped[int]
        note: Mapped[int]
        rate: Mapped[int | None]

    class Guard(Base):
        __tablename__ = "guard"
        id: Mapped[int] = mapped_column(primary_key=True)
        mood: Mapped[str] = computed(
            StateMachine(
                states=[CALM, ALARMED],
                initial_state=CALM,
                transfers=[
                    StateTransfer(
                        current=CALM,
                        next=ALARMED,
                        trigger=Trigger(Savings, "update", keys=["total"]),
                        compute_target=lambda _, event: event.record["rate"],
                    )
                ],
            )
        )

    return SimpleNamespace(**locals())


MODELS = {kind: _models(kind) for kind in ("single", "joined")}


class Bank:
    """An account, and savings from which a statement is derived."""

    def __init__(self, kept: Kept, models: Any) -> None:
        self.kept = kept
        self.models = models
        with kept.begin() as session:
            session.add_all([models.Account(id=1), models.Savings(id=2, rate=7), models.Guard(id=7)])

    @property
    def statements(self) -> list[tuple[Any, ...]]:
        model = self.models.Statement
        return [row[1:] for row in self.kept.stored(model.id, model.total, model.note, model.rate)]

    @property
    def mood(self) -> Any:
        return self.kept.stored(self.models.Guard.mood)[0][0]


@pytest.fixture(params=MODELS)
def bank(keep: Keep, request: pytest.FixtureRequest) -> Bank:
    models = MODELS[request.param]
    return Bank(keep(models.Base), models)


def test_check_and_repair_know_the_class(bank: Bank) -> None:
    assert bank.statements == [(0, 0, 7)]
    statement = bank.models.Statement.__table__
    with bank.kept.engine.begin() as connection:
        wrong = {"total": 0, "note": 0, "_transform__source": "1", "_transform__index": 0}
        connection.execute(insert(statement).values(wrong))
        connection.execute(update(statement).values(note=5))
    assert {d.property for d in bank.kept.system.check().differences} == {"(row)"}
    bank.kept.system.repair()
    assert bank.statements == [(0, 0, 7)]
