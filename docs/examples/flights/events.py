"""What can happen to a flight: interactions, and the state machine that they move."""

from __future__ import annotations

import datetime as dt
from typing import Any

import interaqt_sa as iq


def by_dispatcher(ctx: iq.DispatchContext, args: iq.Args) -> bool:
    return bool(args["user"]["role"] == "dispatcher")


def still_open(ctx: iq.DispatchContext, args: iq.Args) -> bool:
    flight = _flight(ctx, args)
    return flight is not None and flight.status in ("planned", "reassigned")


def divert(ctx: iq.DispatchContext, args: iq.Args) -> None:
    _flight(ctx, args).dest_faa = args["payload"]["airport"]["faa"]


def reassign(ctx: iq.DispatchContext, args: iq.Args) -> None:
    _flight(ctx, args).tailnum = args["payload"]["plane"]["tailnum"]


def add(ctx: iq.DispatchContext, args: iq.Args) -> int:
    flight = dict(args["payload"])
    flight["date"] = dt.date.fromisoformat(flight["date"])
    return int(ctx.storage.create("Flight", flight)["id"])


def _flight(ctx: iq.DispatchContext, args: iq.Args) -> Any:
    # Locked, so that what the condition has seen holds until the commit.
    model = ctx.storage.schema.mapped_class("Flight")
    return ctx.session.get(model, args["payload"]["flight"]["id"], with_for_update=True)


def _target(ctx: iq.DispatchContext, event: iq.MutationEvent) -> Any:
    return event.record["payload"]["flight"]


# Models are named by strings here: they are declared in a module that imports this one.
ALLOWED = iq.Condition("by_dispatcher", by_dispatcher)
OPEN = ALLOWED & iq.Condition("still_open", still_open)
FLIGHT = iq.PayloadItem("flight", base="Flight", is_ref=True, required=True)
AIRPORT = iq.PayloadItem("airport", base="Airport", is_ref=True, required=True)
PLANE = iq.PayloadItem("plane", base="Plane", is_ref=True, required=True)
NEW_FLIGHT = [
    *(iq.PayloadItem(name, "string", required=True) for name in ("date", "carrier", "origin_faa", "dest_faa")),
    *(iq.PayloadItem(name, int, required=True) for name in ("number", "distance")),
]

Cancel = iq.Interaction("Cancel", conditions=OPEN, payload=iq.Payload([FLIGHT]))
Divert = iq.Interaction("Divert", conditions=OPEN, payload=iq.Payload([FLIGHT, AIRPORT]), resolve=divert)
Reassign = iq.Interaction("Reassign", conditions=OPEN, payload=iq.Payload([FLIGHT, PLANE]), resolve=reassign)
Add = iq.Interaction("Add", conditions=ALLOWED, payload=iq.Payload(NEW_FLIGHT), resolve=add)
EVENT_SOURCES = [Cancel, Divert, Reassign, Add]

planned, reassigned = iq.StateNode("planned"), iq.StateNode("reassigned")
diverted, cancelled = iq.StateNode("diverted"), iq.StateNode("cancelled")


def _step(current: iq.StateNode, event: iq.Interaction, next_: iq.StateNode) -> iq.StateTransfer:
    return iq.StateTransfer(current=current, next=next_, trigger=iq.Trigger(event), compute_target=_target)


FLIGHT_STATUS = iq.StateMachine(
    states=[planned, reassigned, diverted, cancelled],
    initial_state=planned,
    transfers=[
        _step(planned, Reassign, reassigned),
        _step(planned, Divert, diverted),
        _step(planned, Cancel, cancelled),
        _step(reassigned, Divert, diverted),
        _step(reassigned, Cancel, cancelled),
    ],
)
