"""Rows of a Transform are ordinary rows: edits by hand are told, and put right by the next change or a repair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from interaqt_sa import Transform
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoice"
    id: Mapped[int] = mapped_column(primary_key=True)
    net: Mapped[int]


class Posting(Base):
    __tablename__ = "posting"
    __computation__ = Transform(Invoice, lambda invoice: [{"amount": invoice.net}, {"amount": invoice.net // 5}])
    id: Mapped[int] = mapped_column(primary_key=True)
    amount: Mapped[int]
    note: Mapped[str | None]


@pytest.fixture
def kept(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add(Invoice(id=1, net=100))
    return kept


def change_source(kept: Kept) -> None:
    with kept.begin() as session:
        session.get_one(Invoice, 1).net = 50


def repair(kept: Kept) -> None:
    kept.run(update(Invoice).values(net=Invoice.net))  # which changes nothing
    kept.system.repair()


@pytest.mark.parametrize(("mend", "amounts"), [(change_source, [(10,), (50,)]), (repair, [(20,), (100,)])])
@pytest.mark.parametrize(
    "edit",
    [update(Posting).where(Posting.amount == 100).values(amount=99), delete(Posting).where(Posting.amount == 20)],
    ids=["changed", "deleted"],
)
def test_an_edit_is_told_and_put_right(
    kept: Kept, edit: Any, mend: Callable[[Kept], None], amounts: list[tuple[int]]
) -> None:
    kept.run(edit)
    assert len(kept.system.check().differences) == 1
    mend(kept)
    assert kept.stored(Posting.amount) == amounts


def test_what_the_callback_does_not_give_is_left_alone(kept: Kept) -> None:
    kept.run(update(Posting).values(note="seen"))
    with kept.begin() as session:
        session.add(Posting(amount=7, note="by hand"))
    change_source(kept)
    assert kept.stored(Posting.amount, Posting.note) == [(7, "by hand"), (10, "seen"), (50, "seen")]
