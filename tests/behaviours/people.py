"""A domain with a relation of every kind."""

from __future__ import annotations

from typing import Any

import interaqt_sa as iq

ENTITIES = [
    iq.Entity(
        "Person",
        [
            iq.Property("name", str),
            iq.Property("age", int),
            iq.Property("gender", str, default="male"),
            iq.Property("label", str, computed=lambda person: f"<{person.name}>"),
        ],
    ),
    iq.Entity("Profile", [iq.Property("title", str)]),
    iq.Entity("Document", [iq.Property("title", str)]),
    iq.Entity("Wallet", [iq.Property("amount", int, default=0)]),
    iq.Entity("Desk", [iq.Property("number", int)]),
    iq.Entity("Team", [iq.Property("name", str)]),
    iq.Entity("Power", [iq.Property("name", str)]),
    iq.Entity("Charge", [iq.Property("level", int)]),
    iq.Entity("Department", [iq.Property("name", str)]),
]
MEMBERSHIP = iq.Relation(
    name="Membership",
    source="Person",
    source_property="teams",
    target="Team",
    target_property="members",
    type="n:n",
    properties=[iq.Property("role", str), iq.Property("since", int, default=2000)],
)
RELATIONS = [
    iq.Relation(source="Person", source_property="boss", target="Person", target_property="staff", type="n:1"),
    iq.Relation(source="Person", source_property="desk", target="Desk", target_property="owner", type="1:1"),
    iq.Relation(
        name="Ownership",
        source="Document",
        source_property="owner",
        target="Person",
        target_property="documents",
        type="n:1",
        properties=[iq.Property("viewed", int, default=0)],
    ),
    iq.Relation(
        name="Portrait",
        source="Profile",
        source_property="owner",
        target="Person",
        target_property="profile",
        type="1:1",
        properties=[iq.Property("viewed", int, default=0)],
    ),
    MEMBERSHIP,
    iq.Relation(
        source="Person",
        source_property="wallet",
        target="Wallet",
        target_property="owner",
        type="1:1",
        is_target_reliance=True,
    ),
    iq.Relation(
        source="Person",
        source_property="powers",
        target="Power",
        target_property="owner",
        type="1:n",
        is_target_reliance=True,
    ),
    iq.Relation(
        source="Power",
        source_property="charges",
        target="Charge",
        target_property="power",
        type="1:n",
        is_target_reliance=True,
    ),
    iq.Relation(
        source="Department", source_property="children", target="Department", target_property="parent", type="1:n"
    ),
    iq.Relation(
        source="Department", source_property="people", target="Person", target_property="department", type="1:n"
    ),
    iq.Relation(source="Person", source_property="likes", target="Person", target_property="liked_by", type="n:n"),
]

#: relations that a foreign key holds
HELD = [relation.name for relation in RELATIONS if relation.type != "n:n" and not relation.properties]


def storage_of(engine: Any, **more: Any) -> iq.Storage:
    """Return a storage over the domain, on tables that are made now."""
    controller = iq.Controller(
        iq.System(engine),
        entities=[*ENTITIES, *more.get("entities", ())],
        relations=[*RELATIONS, *more.get("relations", ())],
        dictionaries=more.get("dictionaries", ()),
    )
    controller.setup(install=True)
    return controller.system.storage


def numbers(storage: iq.Storage, record: str, match: Any = None, **options: Any) -> list[int]:
    """Return the ids of the records that are found, in their order, else in that of the ids."""
    given: dict[str, Any] = {"order_by": {"id": "ASC"}, **options}
    found = storage.find(record, match, **given)
    return [row["id"] for row in found]


def counts(storage: iq.Storage) -> dict[str, int]:
    """Return how many records there are of each kind, where there are any."""
    names = [info.name for info in storage.schema.records]
    return {name: count for name in names if (count := len(storage.find(name)))}
