"""Ordinary declarative models; what the flights say about airlines, planes and airports is computed."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq

from .events import EVENT_SOURCES, FLIGHT_STATUS

#: which flights count as flown
FLOWN = {"dep_time": ("!=", None), "status": ("!=", "cancelled")}


class Base(DeclarativeBase):
    """The base of the models."""


class Airline(Base):
    """The lower half is computed from its flights; nothing in this program writes it."""

    __tablename__ = "airline"
    carrier: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    flights: Mapped[list[Flight]] = relationship(back_populates="airline")

    flight_count: Mapped[int] = iq.computed(iq.Count("flights"))
    flown_count: Mapped[int] = iq.computed(iq.Count("flights", where=FLOWN))
    miles: Mapped[int] = iq.computed(iq.Summation("flights", "distance", where=FLOWN))
    delay: Mapped[float | None] = iq.computed(iq.Average("flights", "arr_delay", where=FLOWN, empty=None))
    all_departed: Mapped[bool] = iq.computed(iq.Every("flights", expression=FLOWN))


class Plane(Base):
    """``maker`` is NULL where the files do not know the plane."""

    __tablename__ = "plane"
    tailnum: Mapped[str] = mapped_column(primary_key=True)
    maker: Mapped[str | None]
    flights: Mapped[list[Flight]] = relationship(back_populates="plane")

    flight_count: Mapped[int] = iq.computed(iq.Count("flights", where=FLOWN))
    miles: Mapped[int] = iq.computed(iq.Summation("flights", "distance", where=FLOWN))


class Airport(Base):
    """``name`` is NULL where the files do not know the airport."""

    __tablename__ = "airport"
    faa: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    departures: Mapped[list[Flight]] = relationship(back_populates="origin", foreign_keys="Flight.origin_faa")
    arrivals: Mapped[list[Flight]] = relationship(back_populates="dest", foreign_keys="Flight.dest_faa")

    departure_count: Mapped[int] = iq.computed(iq.Count("departures", where=FLOWN))
    arrival_count: Mapped[int] = iq.computed(iq.Count("arrivals", where=FLOWN))


class Flight(Base):
    """A flight of a day; ``dep_time`` is NULL if it never left."""

    __tablename__ = "flight"
    __table_args__ = (
        UniqueConstraint(
            "date", "carrier", "number", "origin_faa", name="uq_flight", info={"violation_code": "FLIGHT_TWICE"}
        ),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    date: Mapped[dt.date]
    carrier: Mapped[str] = mapped_column(ForeignKey("airline.carrier"), index=True)
    number: Mapped[int]
    tailnum: Mapped[str | None] = mapped_column(ForeignKey("plane.tailnum"), index=True)
    origin_faa: Mapped[str] = mapped_column(ForeignKey("airport.faa"), index=True)
    dest_faa: Mapped[str] = mapped_column(ForeignKey("airport.faa"), index=True)
    dep_time: Mapped[int | None]
    arr_delay: Mapped[int | None]
    distance: Mapped[int]
    status: Mapped[str] = iq.computed(FLIGHT_STATUS)

    airline: Mapped[Airline] = relationship(back_populates="flights")
    plane: Mapped[Plane | None] = relationship(back_populates="flights")
    origin: Mapped[Airport] = relationship(back_populates="departures", foreign_keys=[origin_faa])
    dest: Mapped[Airport] = relationship(back_populates="arrivals", foreign_keys=[dest_faa])


# Definitions live beside the models, on the same MetaData.
total_flights = iq.Dictionary("total_flights", int, computation=iq.Count(Flight))
total_miles = iq.Dictionary("total_miles", int, computation=iq.Summation(Flight, "distance", where=FLOWN))
schema = iq.compile_schema(Base, dictionaries=[total_flights, total_miles], event_sources=EVENT_SOURCES)
