"""Definitions that grow."""

from __future__ import annotations

import itertools
from typing import Any

from sqlalchemy import MetaData

from interaqt_sa.definitions.aggregates import Count
from interaqt_sa.definitions.constraints import UniqueConstraint
from interaqt_sa.definitions.dictionary import Dictionary
from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.schema.compile_schema import compile_schema
from interaqt_sa.schema.schema_inspection import Schema


def tickets(
    *properties: Property,
    constraints: tuple[Any, ...] = (),
    open_status: str = "open",
    dictionaries: tuple[Dictionary, ...] = (),
) -> Schema:
    """Compile users, their tickets and labels on a MetaData of their own."""
    user = Entity("User", [Property("name", str), Property("joined", "timestamp")])
    ticket = Entity(
        "Ticket",
        [Property("title", str), Property("status", str), *properties],
        constraints=[
            UniqueConstraint("oneOpenTitle", ["title"], where={"status": open_status}, violation_code="TITLE"),
            *constraints,
        ],
    )
    label = Entity("Label", [Property("word", str)])
    relations = [
        Relation(source=user, source_property="tickets", target=ticket, target_property="owner", type="1:n"),
        Relation(source=ticket, source_property="labels", target=label, target_property="tickets", type="n:n"),
    ]
    return compile_schema(MetaData(), entities=[user, ticket, label], relations=relations, dictionaries=dictionaries)


TICKET_COUNT = Dictionary("ticketCount", int, computation=Count("Ticket"))
numbers = itertools.count(1).__next__
