"""A state machine finds rows by keys of several columns, given in every form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq

FREE, TAKEN = iq.StateNode("free"), iq.StateNode("taken")
ANSWERS: dict[str, Any] = {}


class Base(DeclarativeBase):
    pass


class Booking(Base):
    __tablename__ = "booking"
    id: Mapped[int] = mapped_column(primary_key=True)


def answer(ctx: Any, event: Any) -> Any:
    made: Callable[[], Any] = ANSWERS["now"]
    return made()


class Seat(Base):
    __tablename__ = "seat"
    line: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    state: Mapped[str] = iq.computed(
        iq.StateMachine(
            states=[FREE, TAKEN],
            initial_state=FREE,
            transfers=[
                iq.StateTransfer(
                    current=FREE,
                    next=TAKEN,
                    trigger=iq.Trigger(record_name="Booking", type="create"),
                    compute_target=answer,
                )
            ],
        )
    )


@pytest.fixture
def system(engine: Engine) -> iq.System:
    Base.metadata.create_all(engine)
    system = iq.System(engine, base=Base)
    with system.session_factory.begin() as session:
        session.add_all([Seat(line="a", number=1), Seat(line="a", number=2), Seat(line="b", number=1)])
    return system


RIGHT: dict[str, tuple[Callable[[], Any], set[tuple[str, int]]]] = {
    "one tuple": (lambda: ("a", 1), {("a", 1)}),
    "one tuple of texts": (lambda: ("a", "1"), {("a", 1)}),
    "tuples": (lambda: [("a", 1), ("b", 1)], {("a", 1), ("b", 1)}),
    "a tuple of tuples": (lambda: (("a", 1), ("b", 1)), {("a", 1), ("b", 1)}),
    "a list of a list": (lambda: [["a", 2]], {("a", 2)}),
    "mapping": (lambda: {"number": 2, "line": "a"}, {("a", 2)}),
    "mappings": (lambda: ({"number": 2, "line": "a"}, {"number": 1, "line": "b"}), {("a", 2), ("b", 1)}),
    "objects": (lambda: (Seat(line="a", number=1), Seat(line="b", number=1)), {("a", 1), ("b", 1)}),
    "none": (lambda: None, set()),
    "no rows": (lambda: (), set()),
}


@pytest.mark.parametrize("name", RIGHT)
def test_targets_are_found(system: iq.System, name: str) -> None:
    ANSWERS["now"], expected = RIGHT[name]
    with system.session_factory.begin() as session:
        session.add(Booking())
    with system.session_factory() as session:
        taken = session.execute(select(Seat.line, Seat.number).where(Seat.state == "taken"))
        assert {tuple(row) for row in taken} == expected


@pytest.mark.parametrize("wrong", ["a", 5, ["a", 1], [("a",)], ("a", 1, 2), ("a",), [("a", 1, 2)]], ids=repr)
def test_other_answers_say_what_a_key_is(system: iq.System, wrong: Any) -> None:
    ANSWERS["now"] = lambda: wrong
    message = r"the key of a target needs \(line, number\) as a tuple or a mapping, not"
    with pytest.raises(iq.ComputationError, match=message), system.session_factory.begin() as session:
        session.add(Booking())
    with system.session_factory() as session:
        assert set(session.scalars(select(Seat.state))) == {"free"}


def test_a_mapping_lacks_a_part(system: iq.System) -> None:
    ANSWERS["now"] = lambda: {"line": "a"}
    with (
        pytest.raises(iq.ComputationError, match="a target of compute_target lacks number"),
        system.session_factory.begin() as session,
    ):
        session.add(Booking())
