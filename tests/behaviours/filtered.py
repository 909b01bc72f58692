"""A domain with filtered records: over own, computed and aggregated columns, x:1 paths, links, and each other."""

from __future__ import annotations

from typing import Any

import interaqt_sa as iq
from tests.behaviours.people import MEMBERSHIP

_NEW, _BUYER = iq.StateNode("new"), iq.StateNode("buyer")
STATUS = iq.StateMachine(
    states=[_NEW, _BUYER],
    transfers=[
        iq.StateTransfer(
            current=_NEW,
            next=_BUYER,
            trigger=iq.Trigger("Order", "create"),
            compute_target=lambda _, event: event.record["person_id"],
        ),
        iq.StateTransfer(
            current=_BUYER,
            next=_NEW,
            trigger=iq.Trigger("Big", "delete"),
            compute_target=lambda _, event: event.record["id"],
        ),
    ],
    initial_state=_NEW,
)
ENTITIES = [
    iq.Entity("Department", [iq.Property("name", str), iq.Property("head_count", int, computation=iq.Count("people"))]),
    iq.Entity("Team", [iq.Property("name", str), iq.Property("lead_count", int, computation=iq.Count("leaders"))]),
    iq.Entity("Order", [iq.Property("amount", int)]),
    iq.Entity(
        "Person",
        [
            iq.Property("name", str),
            iq.Property("age", int),
            iq.Property("double", int, computed=lambda person: None if person.age is None else 2 * person.age),
            iq.Property("spent", int, computation=iq.Summation("orders", "amount")),
            iq.Property("status", str, computation=STATUS),
        ],
    ),
    iq.Entity("Adult", base_entity="Person", match_expression={"age": (">=", 18)}),
    iq.Entity("Big", base_entity="Adult", match_expression={"spent": (">=", 100)}),
    iq.Entity("CoreBig", base_entity="Big", match_expression={"department.name": "core"}),
    iq.Entity("Elder", base_entity="Person", match_expression=iq.MatchExp.atom("double", (">", 100))),
    iq.Entity("Buyer", base_entity="Person", match_expression=lambda cls: cls.status == "buyer"),
    iq.Entity("Crowded", base_entity="Person", match_expression={"department.head_count": (">", 1)}),
    iq.Entity("Entry", [iq.Property("text", str)], computation=iq.Transform("Big", lambda big: {"text": big["name"]})),
]
RELATIONS = [
    iq.Relation(
        source="Person", source_property="department", target="Department", target_property="people", type="n:1"
    ),
    iq.Relation(source="Person", source_property="orders", target="Order", target_property="person", type="1:n"),
    MEMBERSHIP,
    iq.Relation(
        name="Lead",
        base_relation="Membership",
        match_expression={"role": "lead"},
        source_property="led_teams",
        target_property="leaders",
    ),
    iq.Relation(
        name="AdultLead",
        base_relation="Lead",
        match_expression={"source.age": (">=", 18)},
        source_property="grown_teams",
        target_property="grown_leaders",
    ),
]
DICTIONARIES = [
    iq.Dictionary("adults", int, computation=iq.Count("Adult")),
    iq.Dictionary("led", int, computation=iq.Summation("Lead", "since")),
]
#: the base of each filtered record, and its condition over a row of it and the rows of all records
CONDITIONS: dict[str, tuple[str, Any]] = {
    "Adult": ("Person", lambda p, _: (p["age"] or 0) >= 18),
    "Big": ("Person", lambda p, _: (p["age"] or 0) >= 18 and p["spent"] >= 100),
    "CoreBig": (
        "Person",
        lambda p, rows: (p["age"] or 0) >= 18 and p["spent"] >= 100 and _department(p, rows).get("name") == "core",
    ),
    "Elder": ("Person", lambda p, _: (p["double"] or 0) > 100),
    "Buyer": ("Person", lambda p, _: p["status"] == "buyer"),
    "Crowded": ("Person", lambda p, rows: _department(p, rows).get("head_count", 0) > 1),
    "Lead": ("Membership", lambda link, _: link["role"] == "lead"),
    "AdultLead": (
        "Membership",
        lambda link, rows: link["role"] == "lead" and (rows["Person", link["source_id"]]["age"] or 0) >= 18,
    ),
}


def _department(person: Any, rows: Any) -> Any:
    return rows.get(("Department", person["department_id"]), {})


def system_of(engine: Any, **more: Any) -> iq.System:
    """Return a system over the domain, on tables that are made now."""
    system = iq.System(engine)
    controller = iq.Controller(
        system,
        entities=[*ENTITIES, *more.get("entities", ())],
        relations=[*RELATIONS, *more.get("relations", ())],
        dictionaries=DICTIONARIES,
    )
    controller.setup(install=True)
    return system
