"""Initial states that ``compute_value`` computes: by every route that inserts rows, before these are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import interaqt_sa as iq
from tests.declarative.kept import Keep

_OPEN = iq.StateNode("open", compute_value=lambda _, event: f"{event.record['weeks']} weeks")


class Base(DeclarativeBase):
    pass


class Ask(Base):
    """A loan is derived from each."""

    __tablename__ = "ask"

    id: Mapped[int] = mapped_column(primary_key=True)
    weeks: Mapped[int]


class Loan(Base):
    __tablename__ = "loan"

    id: Mapped[int] = mapped_column(primary_key=True)
    weeks: Mapped[int]
    state: Mapped[str] = iq.computed(iq.StateMachine(states=[_OPEN], initial_state=_OPEN, transfers=[]))
    label: Mapped[str] = iq.computed(lambda loan: f"for {loan.state}")


class Derived(Base):
    __tablename__ = "derived"
    __computation__ = iq.Transform(Ask, lambda ask: {"weeks": ask.weeks})

    id: Mapped[int] = mapped_column(primary_key=True)
    weeks: Mapped[int]
    state: Mapped[str] = iq.computed(iq.StateMachine(states=[_OPEN], initial_state=_OPEN, transfers=[]))
    label: Mapped[str] = iq.computed(lambda loan: f"for {loan.state}")


class Card(Base):
    __tablename__ = "card"
    __computation__ = iq.Transform(Loan, lambda loan: {"text": loan.label})

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


def _upsert(session: Session) -> None:
    made: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    statement = made.insert(Loan).on_conflict_do_update(index_elements=["id"], set_={"weeks": 5})
    session.execute(statement, [{"id": 1, "weeks": 1}, {"id": 2, "weeks": 2}])


def _select(session: Session) -> None:
    session.add_all([Ask(id=1, weeks=1), Ask(id=2, weeks=2)])
    session.flush()
    session.execute(insert(Loan).from_select(["id", "weeks"], select(Ask.id, Ask.weeks + literal(0))))


ROUTES: dict[str, Callable[[Session], Any]] = {
    "objects": lambda session: session.add_all([Loan(weeks=1), Loan(weeks=2)]),
    "bulk": lambda session: session.execute(insert(Loan), [{"weeks": 1}, {"weeks": 2}]),
    "returning": lambda session: session.execute(
        insert(Loan).returning(Loan, sort_by_parameter_order=True), [{"weeks": 1}, {"weeks": 2}]
    ),
    "values": lambda session: session.execute(insert(Loan).values([{"weeks": 1}, {"weeks": 2}])),
    "upsert": _upsert,
    "select": _select,
}


@pytest.mark.parametrize("observed", [False, True], ids=["unobserved", "observed"])
@pytest.mark.parametrize("route", ROUTES)
def test_new_rows_start_in_the_computed_state(keep: Keep, route: str, observed: bool) -> None:
    kept = keep(Base)
    told: list[iq.MutationEvent] = []
    if observed:
        kept.system.storage.listen(lambda _, events: told.extend(e for e in events if e.record_name == "Loan"))
    with kept.begin() as session:
        ROUTES[route](session)
    assert kept.stored(Loan.id, Loan.state, Loan.label) == [
        (1, "1 weeks", "for 1 weeks"),
        (2, "2 weeks", "for 2 weeks"),
    ]
    assert kept.stored(Card.text) == [("for 1 weeks",), ("for 2 weeks",)]
    if observed:
        assert [(e.type, e.record and e.record["label"]) for e in told] == [
            ("create", "for 1 weeks"),
            ("create", "for 2 weeks"),
        ]


def test_derived_rows_too(keep: Keep) -> None:
    kept = keep(Base)
    kept.run(insert(Ask), [{"weeks": 1}, {"weeks": 2}])
    assert kept.stored(Derived.id, Derived.state, Derived.label) == [
        (1, "1 weeks", "for 1 weeks"),
        (2, "2 weeks", "for 2 weeks"),
    ]


def test_records_of_the_storage_too(keep: Keep) -> None:
    kept = keep(Base)
    kept.system.storage.create("Loan", {"weeks": 3})
    assert kept.stored(Loan.state, Loan.label) == [("3 weeks", "for 3 weeks")]
    assert kept.stored(Card.text) == [("for 3 weeks",)]
