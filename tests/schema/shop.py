"""A small domain that uses every kind of definition."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index

from interaqt_sa.definitions.aggregates import Count, Summation
from interaqt_sa.definitions.constraints import NonNullConstraint, UniqueConstraint
from interaqt_sa.definitions.dictionary import Dictionary
from interaqt_sa.definitions.events import Trigger
from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.definitions.state_machine import StateMachine, StateNode
from interaqt_sa.definitions.transform import Transform
from interaqt_sa.schema.compile_schema import compile_schema
from interaqt_sa.schema.schema_inspection import Schema

pending, paid = StateNode("pending"), StateNode("paid")

Order = Entity(
    "Order",
    [
        Property("total", "number", default=0),
        Property("note", str),
        Property("tags", "string", collection=True, default=[]),
        Property(
            "status", "string", computation=StateMachine(states=[pending, paid], initial_state=pending, transfers=[])
        ),
    ],
    constraints=[
        UniqueConstraint("one_note", ["customer", "note"], where={"status": "pending"}, violation_code="NOTE_TWICE"),
        UniqueConstraint("one_total", ["total", "note"]),
    ],
    table_args=[Index(None, "total")],
)
Customer = Entity(
    "Customer",
    [
        Property("fullName", str),
        Property("spent", "number", computation=Summation("orders", "total", where={"status": "paid"})),
        Property("orderCount", int, computation=Count("orders")),
        Property("label", str, computed=lambda customer: f"<{customer.fullName}>"),
    ],
    constraints=[NonNullConstraint("named", "fullName", violation_code="NO_NAME")],
)
Team = Entity("Team", [Property("name", str)], constraints=[UniqueConstraint("team_name", ["name"])])
Shipment = Entity(
    "Shipment",
    [Property("order_id", "id")],
    computation=Transform(
        event_deps={"paid": Trigger("Order", "update", keys=["status"], record={"status": "paid"})},
        callback=lambda event: {"order_id": event.record["id"]},
    ),
)
Orders = Relation(source="Customer", source_property="orders", target="Order", target_property="customer", type="1:n")
Leader = Relation(source=Customer, source_property="leader", target=Customer, target_property="followers", type="n:1")
Boss = Relation(source=Team, source_property="boss", target=Customer, target_property="rules", type="1:1")
Membership = Relation(
    name="Membership",
    source=Customer,
    source_property="teams",
    target="Team",
    target_property="members",
    type="n:n",
    properties=[Property("role", str)],
    constraints=[UniqueConstraint("one_role", ["target", "role"], violation_code="ROLE_TWICE")],
)
Likes = Relation(source=Customer, source_property="likes", target=Customer, target_property="liked_by", type="n:n")
Shipping = Relation(
    name="Shipping",
    source="Shipment",
    source_property="order",
    target="Order",
    target_property="shipments",
    type="n:1",
    properties=[Property("cost", "number")],
)
Paid = Dictionary("paidOrders", int, computation=Count("Order", where={"status": ("in", ["paid"])}))
Settings = Dictionary("settings", "object", default={"open": True})

ENTITIES = [Order, Customer, Team, Shipment]
RELATIONS = [Orders, Leader, Boss, Membership, Likes, Shipping]
DICTIONARIES = [Paid, Settings]


def compiled(base: Any) -> Schema:
    """Return the whole domain on ``base``."""
    return compile_schema(base, entities=ENTITIES, relations=RELATIONS, dictionaries=DICTIONARIES)
