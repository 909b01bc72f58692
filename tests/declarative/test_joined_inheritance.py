"""Joined inheritance: hosts and members whose columns lie in an upper and a lower table."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey, delete, insert, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Average, Count, Summation, computed
from tests.declarative.kept import Keep, Kept


class Base(DeclarativeBase):
    pass


class Place(Base):
    __tablename__ = "place"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "place"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    visits: Mapped[list[Visit]] = relationship(back_populates="place")
    visit_count: Mapped[int] = computed(Count("visits"))


class Museum(Place):
    __tablename__ = "museum"
    __mapper_args__ = {"polymorphic_identity": "museum"}

    id: Mapped[int] = mapped_column(ForeignKey("place.id"), primary_key=True)
    tours: Mapped[list[Tour]] = relationship(viewonly=True)
    tour_count: Mapped[int] = computed(Count("tours", where={"guests": (">", 1)}))
    takings: Mapped[int] = computed(Summation("tours", "fee"))
    mean_minutes: Mapped[float] = computed(Average("tours", "minutes"))


class Visit(Base):
    __tablename__ = "visit"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "visit"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    minutes: Mapped[int] = mapped_column(default=10)
    place_id: Mapped[int | None] = mapped_column(ForeignKey("place.id"))
    place: Mapped[Place | None] = relationship(back_populates="visits")


class Tour(Visit):
    __tablename__ = "tour"
    __mapper_args__ = {"polymorphic_identity": "tour"}

    id: Mapped[int] = mapped_column(ForeignKey("visit.id"), primary_key=True)
    fee: Mapped[int] = mapped_column(default=0)
    guests: Mapped[int] = mapped_column(default=1)
    guide_id: Mapped[int | None] = mapped_column(ForeignKey("guide.id"))
    guide: Mapped[Guide | None] = relationship(back_populates="tours")


class Guide(Base):
    __tablename__ = "guide"

    id: Mapped[int] = mapped_column(primary_key=True)
    tours: Mapped[list[Tour]] = relationship(back_populates="guide")
    minutes: Mapped[int] = computed(Summation("tours", "minutes"))
    visitors_seen: Mapped[int] = computed(Summation("tours", "place.visit_count"))


PLACES: tuple[Any, ...] = (Place.id, Place.visit_count)
MUSEUMS: tuple[Any, ...] = (
    Museum.__table__.c.id,
    Museum.__table__.c.tour_count,
    Museum.__table__.c.takings,
    Museum.__table__.c.mean_minutes,
)
GUIDES: tuple[Any, ...] = (Guide.id, Guide.minutes, Guide.visitors_seen)


@pytest.fixture
def city(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        guide, museum = Guide(), Museum()
        session.add_all([museum, guide])
        session.flush()
        session.add(Place())
        tours = [Tour(fee=5, guests=3, guide_id=guide.id), Tour(fee=7, minutes=30, guide_id=guide.id)]
        for visit in (Visit(), *tours):
            session.add(visit)
            visit.place = museum
            session.flush()  # the tests speak of 1, 2 and 3
    return kept


def test_columns_of_both_tables_are_read_and_written(city: Kept) -> None:
    assert city.stored(*PLACES) == [(1, 3), (2, 0)]
    assert city.stored(*MUSEUMS) == [(1, 1, 12, 20.0)]
    assert city.stored(*GUIDES) == [(1, 40, 6)]


def test_members_change_in_the_upper_and_in_the_lower_table(city: Kept) -> None:
    with city.begin() as session:
        tour = session.get_one(Tour, 2)
        tour.minutes, tour.fee, tour.guests = 50, 6, 1
    assert city.stored(*MUSEUMS) == [(1, 0, 13, 40.0)]
    assert city.stored(*GUIDES) == [(1, 80, 6)]


def test_members_move_and_go(city: Kept) -> None:
    with city.begin() as session:
        session.get_one(Tour, 3).place = session.get_one(Place, 2)
        session.delete(session.get_one(Visit, 1))
    assert city.stored(*PLACES) == [(1, 1), (2, 1)]
    assert city.stored(*MUSEUMS) == [(1, 1, 5, 10.0)]
    assert city.stored(*GUIDES) == [(1, 40, 2)]
    with city.begin() as session:
        session.delete(session.get_one(Tour, 2))
    assert city.stored(*MUSEUMS) == [(1, 0, 0, 0.0)]
    assert city.stored(*GUIDES) == [(1, 30, 1)]


def test_deleted_hosts_let_their_members_go(city: Kept) -> None:
    with city.begin() as session:
        session.delete(session.get_one(Museum, 1))
    assert city.stored(*PLACES) == [(2, 0)]
    assert city.stored(*MUSEUMS) == []
    assert city.stored(*GUIDES) == [(1, 40, 0)]


def test_bulk_updates_of_the_upper_and_of_the_lower_table(city: Kept) -> None:
    city.run(update(Visit).where(Visit.id > 1).values(minutes=Visit.minutes + 5))
    city.run(update(Tour.__table__).values(fee=1))
    assert city.stored(*MUSEUMS) == [(1, 1, 2, 25.0)]
    assert city.stored(*GUIDES) == [(1, 50, 6)]
    city.run(update(Visit).where(Visit.id == 3).values(place_id=2))
    assert city.stored(*PLACES) == [(1, 2), (2, 1)]
    assert city.stored(*MUSEUMS) == [(1, 1, 1, 15.0)]
    assert city.stored(*GUIDES) == [(1, 50, 3)]


def test_bulk_inserts_and_deletes_of_both_tables(city: Kept) -> None:
    rows = [{"place_id": 1, "fee": 100, "guests": 2, "guide_id": 1, "id": n} for n in (11, 12)]
    city.run(insert(Tour), rows)
    assert city.stored(*PLACES) == [(1, 5), (2, 0)]
    assert city.stored(*MUSEUMS) == [(1, 3, 212, 15.0)]
    assert city.stored(*GUIDES) == [(1, 60, 20)]
    city.run(delete(Tour.__table__).where(Tour.__table__.c.id == 12))
    assert city.stored(*MUSEUMS) == [(1, 2, 112, pytest.approx(50 / 3))]
    city.run(delete(Visit).where(Visit.id.in_([1, 12])))
    assert city.stored(*PLACES) == [(1, 3), (2, 0)]


def test_rows_inserted_table_by_table_count_once_in_each(city: Kept) -> None:
    city.run(insert(Visit.__table__), [{"id": 11, "kind": "tour", "minutes": 30, "place_id": 1}])
    assert city.stored(*PLACES) == [(1, 4), (2, 0)]
    assert city.stored(*MUSEUMS) == [(1, 1, 12, 20.0)]
    city.run(insert(Tour.__table__), [{"id": 11, "fee": 1, "guests": 9, "guide_id": 1}])
    assert city.stored(*PLACES) == [(1, 4), (2, 0)]
    assert city.stored(*MUSEUMS) == [(1, 2, 13, pytest.approx(70 / 3))]
    assert city.stored(*GUIDES) == [(1, 70, 12)]


def test_inserted_rows_of_both_tables_are_returned(city: Kept) -> None:
    with city.begin() as session:
        statement = insert(Tour).returning(Tour, sort_by_parameter_order=True)
        tours = session.scalars(statement, [{"place_id": 2, "fee": n} for n in (1, 2)]).all()
        assert [(tour.fee, tour.minutes, tour.place_id) for tour in tours] == [(1, 10, 2), (2, 10, 2)]
    assert city.stored(*PLACES) == [(1, 3), (2, 2)]


def test_loaded_hosts_are_fresh_in_both_tables(city: Kept) -> None:
    with city.begin() as session:
        museum = session.get_one(Museum, 1)
        session.add(Tour(place=museum, fee=8, guests=2, minutes=20))
        session.flush()
        assert (museum.visit_count, museum.tour_count, museum.takings, museum.mean_minutes) == (4, 2, 20, 20.0)


class Loaded(DeclarativeBase):
    pass


class Owner(Loaded):
    __tablename__ = "owner"

    id: Mapped[int] = mapped_column(primary_key=True)
    pets: Mapped[list[Pet]] = relationship()
    pet_count: Mapped[int] = computed(Count("pets"))
    weight: Mapped[int] = computed(Summation("pets", "weight"))


class Pet(Loaded):
    """Its statements name the join of its table with those of all subclasses."""

    __tablename__ = "pet"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "pet", "with_polymorphic": "*"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owner.id"))
    weight: Mapped[int] = mapped_column(default=1)
    label: Mapped[str] = computed(lambda pet: f"{pet.kind} of {pet.weight}")


class Cat(Pet):
    __tablename__ = "cat"
    __mapper_args__ = {"polymorphic_identity": "cat"}

    id: Mapped[int] = mapped_column(ForeignKey("pet.id", ondelete="CASCADE"), primary_key=True)
    lives: Mapped[int] = mapped_column(default=9)


def test_bulk_statements_on_a_class_that_loads_its_subclasses(keep: Keep) -> None:
    kept = keep(Loaded)
    with kept.begin() as session:
        session.add(Owner(id=1, pets=[Pet(id=1), Cat(id=2, weight=3)]))
    owners = (Owner.id, Owner.pet_count, Owner.weight)
    kept.run(update(Pet).values(weight=Pet.weight + 1))
    assert kept.stored(*owners) == [(1, 2, 6)]
    kept.run(update(Pet), [{"id": 2, "weight": 10}])
    kept.run(insert(Pet), [{"id": 3, "kind": "pet", "owner_id": 1, "weight": 5}])
    assert kept.stored(*owners) == [(1, 3, 17)]
    labels = [label for _, label in kept.stored(Pet.__table__.c.id, Pet.__table__.c.label)]
    assert labels == ["pet of 2", "cat of 10", "pet of 5"]
    kept.run(delete(Pet).where(Pet.weight > 4))
    assert kept.stored(*owners) == [(1, 1, 2)]
