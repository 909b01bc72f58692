"""A default that a back-fill writes into existing rows is seen by the values that are computed from its column."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import MetaData

import interaqt_sa as iq
from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.definitions.transform import Transform
from interaqt_sa.schema.compile_schema import compile_schema
from interaqt_sa.schema.schema_inspection import Schema
from tests.migrate.environment import Environment


def tagged(ticket: Any) -> dict[str, Any]:
    return {"word": f"priority {ticket.priority}"}


def desk(*priority: Property, urgent: bool = True) -> Schema:
    """Compile users, their tickets, the number of urgent ones, and a tag of each ticket."""
    computation = iq.Count("tickets", where={"priority": 3}) if urgent else None
    user = Entity("User", [Property("name", str), *([Property("urgent", int, computation=computation)] * urgent)])
    told = Property("told", str, nullable=True, computed=lambda ticket: f"priority {ticket.priority}")
    ticket = Entity("Ticket", [Property("title", str), *priority, *([told] * urgent)])
    tags = [Entity("Tag", [Property("word", str)], computation=Transform("Ticket", tagged))] * urgent
    relation = Relation(source=user, source_property="tickets", target=ticket, target_property="owner", type="1:n")
    return compile_schema(MetaData(), entities=[user, ticket, *tags], relations=[relation])


PLAIN = Property("priority", int, nullable=True)
REQUIRED = Property("priority", int, default=3, nullable=False)
ROWS = (
    """INSERT INTO "user" (id, name) VALUES (1, 'a'), (2, 'b')""",
    "INSERT INTO ticket (id, title, owner_id) VALUES (1, 'x', 1), (2, 'y', 1), (3, 'z', 2)",
)
URGENT = """SELECT urgent FROM "user" ORDER BY id"""


def is_true(environment: Environment, schema: Schema) -> bool:
    report = iq.System(environment.engine, base=schema.metadata, configure_sqlite=False).check()
    assert report.ok, report.differences
    return True


def test_values_of_a_column_that_gets_a_default(environment: Environment) -> None:
    before = desk(PLAIN)
    environment.migrate(before)
    environment.run(*ROWS)
    iq.System(environment.engine, base=before.metadata, configure_sqlite=False).repair()
    assert environment.rows(URGENT) == [(0,), (0,)]

    after = desk(REQUIRED)
    sources = environment.migrate(after)

    assert environment.rows(URGENT) == [(2,), (1,)]
    assert is_true(environment, after)
    assert "'User.urgent'" in "".join(sources)  # for scripts, and for those who read it


@pytest.mark.parametrize("values_are_declared", [True, False])
def test_a_default_that_waited_for_the_columns_of_values(environment: Environment, values_are_declared: bool) -> None:
    """Two revisions at once: the first waits for the second, whose values are computed before the default is there."""
    environment.migrate(desk(urgent=False))
    environment.run(*ROWS)
    environment.use(desk(REQUIRED, urgent=False))
    environment.revision()
    if not values_are_declared:
        environment.upgrade()
    # the revision of the values is written where the first has run, and both are run elsewhere
    after = desk(REQUIRED)
    if values_are_declared:
        (start,) = environment.rows("SELECT version_num FROM alembic_version")[0]
        environment.upgrade()
        environment.use(after)
        environment.revision()
        environment.use(desk(REQUIRED, urgent=False))
        environment.downgrade(start)
    else:
        environment.use(after)
        environment.revision()
    environment.use(after)
    environment.upgrade()

    assert environment.rows(URGENT) == [(2,), (1,)]
    assert is_true(environment, after)
    environment.check()
