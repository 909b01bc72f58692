"""The events of the demonstration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

import interaqt_sa as iq

from .events import Add, Cancel, Divert, Reassign
from .models import Airline, Flight

DISPATCHER, PASSENGER = {"id": 1, "role": "dispatcher"}, {"id": 2, "role": "passenger"}
#: how many flights are cancelled, diverted and re-assigned
EACH = 10

Event = tuple[iq.Interaction, dict[str, Any], dict[str, Any]]


@dataclass
class Outcome:
    """The outcome of one dispatch."""

    event: str
    error: Exception | None
    seconds: float

    def __str__(self) -> str:
        if self.error is None:
            return "applied"
        violation = iq.find_constraint_violation_error(self.error)
        return f"duplicate: {violation.code}" if violation else f"rejected: {self.error}"


def run(controller: iq.Controller) -> list[Outcome]:
    """Dispatch all events, one after the other."""
    outcomes = []
    for source, user, payload in _events(*_some_flights(controller.system)):
        began = time.perf_counter()
        result = controller.dispatch(source, {"user": user, "payload": payload})
        outcomes.append(Outcome(source.name, result.error, time.perf_counter() - began))
    return outcomes


def _events(flights: list[Flight], flawless: list[Flight]) -> Iterator[Event]:
    for flight in flawless:
        yield Cancel, DISPATCHER, {"flight": {"id": flight.id}}
    for one, two, three in zip(flights[0::3], flights[1::3], flights[2::3], strict=True):
        yield Cancel, DISPATCHER, {"flight": {"id": one.id}}
        yield Divert, DISPATCHER, {"flight": {"id": two.id}, "airport": {"faa": three.origin_faa}}
        yield Reassign, DISPATCHER, {"flight": {"id": three.id}, "plane": {"tailnum": one.tailnum}}
    # Nobody but a dispatcher cancels, nothing is cancelled twice, and no flight exists twice.
    yield Cancel, PASSENGER, {"flight": {"id": flights[1].id}}
    yield Cancel, DISPATCHER, {"flight": {"id": flights[0].id}}
    place = {"carrier": one.carrier, "origin_faa": one.origin_faa, "dest_faa": one.dest_faa, "distance": one.distance}
    yield Add, DISPATCHER, {"date": "2013-12-31", "number": 9999, **place}
    yield Add, DISPATCHER, {"date": "2013-12-31", "number": 9999, **place}


def _some_flights(system: iq.System) -> tuple[list[Flight], list[Flight]]:
    """Return flights that departed, three for each round, from all over the year; and one whose airline flew all."""
    with system.session_factory() as session:
        flawless = session.scalars(select(Flight).join(Flight.airline).where(Airline.all_departed).limit(1)).all()
        departed = select(Flight.id).where(Flight.dep_time.is_not(None), Flight.tailnum.is_not(None))
        departed = departed.where(Flight.id.not_in([flight.id for flight in flawless]))
        ids = session.scalars(departed.order_by(Flight.id)).all()
        wanted = 3 * min(EACH, len(ids) // 3)
        if not wanted:
            raise ValueError("the events need at least three flights that departed")
        picked = ids[:: len(ids) // wanted][:wanted]
        flights = session.scalars(select(Flight).where(Flight.id.in_(picked)).order_by(Flight.id)).all()
        return list(flights), list(flawless)
