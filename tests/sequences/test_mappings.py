"""Numbers under inheritance, other names, keys that Python generates and composite keys. R-S19."""

from __future__ import annotations

from datetime import date
from enum import Enum
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, ForeignKey, ForeignKeyConstraint, Integer, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.kept import Kept
from tests.support.statements import count_statements


class Color(Enum):
    red = "R"
    blue = "B"


class Base(DeclarativeBase):
    pass


class Owner(Base):
    __tablename__ = "owner"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    things: Mapped[list[Thing]] = relationship(back_populates="owner")


class Thing(Base):
    __tablename__ = "thing"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    owner_key: Mapped[UUID | None] = mapped_column("owner_id", ForeignKey("owner.id"))
    owner: Mapped[Owner | None] = relationship(back_populates="things")
    place: Mapped[int | None] = iq.computed(
        iq.ScopedSequence("place", "owner", match=iq.MatchExp.atom("owner_key", ("is not null",))), name="place_no"
    )


class Car(Thing):
    __tablename__ = "car"
    __mapper_args__ = {"polymorphic_identity": "car"}
    id: Mapped[int] = mapped_column(ForeignKey("thing.id"), primary_key=True)
    color: Mapped[Color] = mapped_column(default=Color.red)
    plate: Mapped[int] = iq.computed(iq.ScopedSequence("plate", "color", initial_value=7))


class Toy(Thing):
    __mapper_args__ = {"polymorphic_identity": "toy"}
    age: Mapped[int | None] = mapped_column(use_existing_column=True)
    label: Mapped[int | None] = iq.computed(iq.ScopedSequence("label", "age"))


class Day(Base):
    __tablename__ = "day"
    on: Mapped[date] = mapped_column(primary_key=True)
    shift: Mapped[str] = mapped_column(primary_key=True)


class Visit(Base):
    __tablename__ = "visit"
    __table_args__ = (ForeignKeyConstraint(["on", "shift"], ["day.on", "day.shift"]),)
    id: Mapped[int] = mapped_column(primary_key=True)
    on: Mapped[date]
    shift: Mapped[str]
    day: Mapped[Day] = relationship()
    number: Mapped[int] = iq.computed(iq.ScopedSequence("visit", "day"), Integer)


@pytest.fixture
def kept(engine: Engine) -> Kept:
    """Return an empty database."""
    return Kept(engine, Base)


@behaviour("R-S19")
def test_inheritance(kept: Kept) -> None:
    with kept.begin() as session:
        owner = Owner(things=[Car(), Toy(age=3), Thing(), Car(color=Color.blue)])
        session.add_all([owner, Car(), Toy(age=3), Toy(age=4), Owner(things=[Toy(age=5)])])
        session.flush()
        found = {(t.kind, t.place, getattr(t, "plate", None), getattr(t, "label", None)) for t in owner.things}
        assert {place for _, place, _, _ in found} == {1, 2, 3, 4}
        cars = session.scalars(select(Car).order_by(Car.id)).all()
        assert sorted((c.color.name, c.plate) for c in cars) == [("blue", 8), ("red", 8), ("red", 9)]
        toys = session.execute(select(Toy.age, Toy.label)).all()
        assert sorted(map(tuple, toys)) == [(3, 1), (3, 2), (4, 1), (5, 1)]
        key = owner.id
        session.execute(insert(Car), [{"owner_key": key}, {"owner_key": None}, {"owner_key": key}])
        session.execute(insert(Toy), [{"age": 4}, {"age": 3}])
        session.execute(insert(Thing), [{"kind": "thing", "owner_key": key}])
    with kept.begin() as session:
        assert sorted(session.scalars(select(Car.plate).where(Car.color == Color.red))) == [8, 9, 10, 11, 12]
        assert sorted(session.scalars(select(Thing.place).where(Thing.owner_key == key))) == [*range(1, 8)]
        assert sorted(map(tuple, session.execute(select(Toy.age, Toy.label)))) == [
            (3, 1),
            (3, 2),
            (3, 3),
            (4, 1),
            (4, 2),
            (5, 1),
        ]
    kept.verify()


@behaviour("R-S19")
def test_a_parent_that_has_expired_is_not_read(kept: Kept) -> None:
    with kept.begin() as session:
        session.add(owner := Owner())
        session.flush()
        session.add(Day(on=date(2026, 1, 2), shift="late"))
        session.flush()
        day = session.get_one(Day, (date(2026, 1, 2), "late"))
        session.expire_all()
        with count_statements(kept.engine) as statements:
            session.add_all([thing := Thing(owner=owner), visit := Visit(day=day), other := Visit(day=day)])
            session.flush()
        assert (thing.place, visit.number, other.number) == (1, 1, 2)
        assert not any(one.lstrip().startswith("SELECT thing") for one in statements)
    kept.verify()


@behaviour("R-S19")
def test_composite_scopes(kept: Kept) -> None:
    with kept.begin() as session:
        days = [Day(on=date(2026, 1, n), shift=shift) for n in (1, 2) for shift in ("early", "late")]
        session.add_all(Visit(day=day) for day in days for _ in range(3))
        session.flush()
        session.execute(insert(Visit), [{"on": date(2026, 1, 1), "shift": "late"}] * 2)
        found = session.execute(select(Visit.on, Visit.shift, Visit.number)).all()
        assert sorted(map(tuple, found))[3:8] == [(date(2026, 1, 1), "late", n) for n in range(1, 6)]

    def reserve(inside: iq.Storage) -> range:
        return inside.atomic.reserve_sequence_range("visit", 2, scope={"day": (date(2026, 1, 1), "late")})

    assert kept.system.storage.run_in_transaction(reserve) == range(6, 8)
    kept.verify()
