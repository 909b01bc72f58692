"""A state machine moves a column of any kind of text; its states are named by members of an Enum or by values."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from sqlalchemy import Enum, String, TypeDecorator, insert, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq
from tests.declarative.kept import Keep


class Status(enum.Enum):
    asked = "A"
    approved = "OK"


class Level(enum.IntEnum):
    low = 1
    high = 2


def values(members: Any) -> list[str]:
    return [str(member.value) for member in members]


#: type, names of the two states, what a read gives for them, what is stored
CASES: dict[str, tuple[Any, tuple[str, str], tuple[Any, Any], tuple[str, str]]] = {
    "text": (String(10), ("asked", "approved"), ("asked", "approved"), ("asked", "approved")),
    "Enum of text": (
        Enum("asked", "approved", name="e0"),
        ("asked", "approved"),
        ("asked", "approved"),
        ("asked", "approved"),
    ),
    "by name": (Enum(Status, name="e1"), ("asked", "approved"), tuple(Status), ("asked", "approved")),
    "by value": (Enum(Status, name="e2"), ("A", "OK"), tuple(Status), ("asked", "approved")),
    "values stored, by value": (
        Enum(Status, name="e3", values_callable=values),
        ("A", "OK"),
        tuple(Status),
        ("A", "OK"),
    ),
    "values stored, by name": (
        Enum(Status, name="e4", values_callable=values),
        ("asked", "approved"),
        tuple(Status),
        ("A", "OK"),
    ),
    "not native": (Enum(Status, native_enum=False), ("asked", "OK"), tuple(Status), ("asked", "approved")),
    "of integers": (Enum(Level, name="e5"), ("low", "high"), tuple(Level), ("low", "high")),
}


def models(type_: Any, names: tuple[str, str]) -> tuple[Any, Any]:
    first, second = (iq.StateNode(name) for name in names)

    class Base(DeclarativeBase):
        pass

    class Request(Base):
        __tablename__ = "request"
        id: Mapped[int] = mapped_column(primary_key=True)
        turns: Mapped[int] = mapped_column(default=0)
        status: Mapped[Any] = iq.computed(
            iq.StateMachine(
                states=[first, second],
                initial_state=first,
                transfers=[
                    iq.StateTransfer(
                        current=a,
                        next=b,
                        trigger=iq.Trigger("Request", "update", keys=["turns"]),
                        compute_target=lambda _, event: event.record["id"],
                    )
                    for a, b in ((first, second), (second, first))
                ],
            ),
            type_,
            nullable=False,
        )
        shown: Mapped[str] = iq.computed(lambda request: repr(request.status))

    return Base, Request


@pytest.mark.parametrize("case", CASES)
def test_the_state_moves(keep: Keep, case: str) -> None:
    type_, names, shown, stored = CASES[case]
    base, request = models(type_, names)
    kept = keep(base)
    with kept.begin() as session:
        first = request(id=1)
        session.add(first)
        session.flush()
        session.execute(insert(request), [{"id": 2}])
        assert first.status is shown[0] or first.status == shown[0]
    assert kept.stored(request.id, request.status, request.shown) == [(n, shown[0], repr(shown[0])) for n in (1, 2)]
    for turn in (1, 2, 3):
        with kept.begin() as session:
            loaded = session.get_one(request, 1)
            loaded.turns = turn
            session.flush()
            assert loaded.status == shown[turn % 2]
            session.execute(update(request).where(request.id == 2).values(turns=turn))
        now = shown[turn % 2]
        assert kept.stored(request.id, request.status, request.shown) == [(n, now, repr(now)) for n in (1, 2)]
    with kept.engine.connect() as connection:
        assert set(connection.scalars(text("SELECT CAST(status AS VARCHAR) FROM request"))) == {stored[1]}
    with kept.begin() as session:
        session.get_one(request, 1).status = shown[1]  # which it has
    with pytest.raises(iq.ComputedWriteError), kept.begin() as session:
        session.get_one(request, 1).status = shown[0]


class Shouting(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return value and value.upper()


@pytest.mark.parametrize(
    ("type_", "names", "message"),
    [
        (Enum(Status), ("asked", "rejected"), r"has no values for the states \['rejected'\]"),
        (Enum(Status), ("asked", "A"), "are the same value of"),
        (Enum("asked", name="e6"), ("asked", "approved"), r"has no values for the states \['approved'\]"),
        (Shouting(), ("asked", "approved"), "give a type of text or an Enum"),
        (String(5), ("asked", "approved"), "too short for the state 'approved'"),
    ],
)
def test_states_that_the_column_cannot_hold(keep: Keep, type_: Any, names: tuple[str, str], message: str) -> None:
    base, request = models(type_, names)
    kept = keep(base)
    with pytest.raises(iq.DefinitionError) as raised, kept.begin() as session:
        session.add(request(id=1))
    (fault,) = raised.value.exceptions
    with pytest.raises(type(fault), match=message):
        raise fault
