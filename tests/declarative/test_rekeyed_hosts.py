"""Hosts whose primary key changes: the database or the session takes their members along."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from interaqt_sa import Count, Summation, computed
from tests.declarative.kept import Keep


class Base(DeclarativeBase):
    pass


class Country(Base):
    """The database takes its cities along."""

    __tablename__ = "country"
    code: Mapped[str] = mapped_column(primary_key=True)
    cities: Mapped[list[City]] = relationship(back_populates="country")
    city_count: Mapped[int] = computed(Count("cities"))
    people: Mapped[int] = computed(Summation("cities", "people"))


class City(Base):
    __tablename__ = "city"
    id: Mapped[int] = mapped_column(primary_key=True)
    country_code: Mapped[str] = mapped_column(ForeignKey("country.code", onupdate="CASCADE"))
    country: Mapped[Country] = relationship(back_populates="cities")
    people: Mapped[int]


class Airline(Base):
    """The session takes its planes along."""

    __tablename__ = "airline"
    code: Mapped[str] = mapped_column(primary_key=True)
    planes: Mapped[list[Plane]] = relationship(back_populates="airline", passive_updates=False)
    plane_count: Mapped[int] = computed(Count("planes"))
    seats: Mapped[int] = computed(Summation("planes", "seats"))


class Plane(Base):
    __tablename__ = "plane"
    id: Mapped[int] = mapped_column(primary_key=True)
    airline_code: Mapped[str] = mapped_column(ForeignKey("airline.code", deferrable=True, initially="DEFERRED"))
    airline: Mapped[Airline] = relationship(back_populates="planes")
    seats: Mapped[int]


def country() -> Any:
    return Country(code="a", cities=[City(people=2), City(people=3)])


def airline() -> Any:
    return Airline(code="a", planes=[Plane(seats=2), Plane(seats=3)])


@pytest.mark.parametrize(
    ("make", "columns"),
    [
        (country, (Country.code, Country.city_count, Country.people)),
        (airline, (Airline.code, Airline.plane_count, Airline.seats)),
    ],
)
def test_members_follow_the_key_of_their_host(keep: Keep, make: Any, columns: Any) -> None:
    kept = keep(Base)
    with kept.begin() as session:
        session.add(make())
    with kept.begin() as session:
        host = session.get_one(type(make()), "a")
        host.code = "b"
        session.flush()
        assert [getattr(host, column.key) for column in columns] == ["b", 2, 5]
    assert kept.stored(*columns) == [("b", 2, 5)]
