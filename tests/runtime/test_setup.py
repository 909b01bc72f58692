"""What a controller creates, and what it finds missing."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, MetaData, inspect, null, text
from sqlalchemy.orm import sessionmaker

from interaqt_sa.definitions.aggregates import Count
from interaqt_sa.definitions.constraints import NonNullConstraint, UniqueConstraint
from interaqt_sa.definitions.dictionary import Dictionary
from interaqt_sa.definitions.event_source import EventSource
from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.errors import ConstraintSetupError, ConstraintViolationError, DefinitionError
from interaqt_sa.runtime.controller import Controller
from interaqt_sa.runtime.system import System
from tests.runtime.models import Base

Customer = Entity("Customer", [Property("name", "string")])
Order = Entity(
    "Order",
    [Property("status", "string", default="open"), Property("note", "string")],
    constraints=[
        UniqueConstraint("one_open", ["customer"], where={"status": "open"}, violation_code="ORDER_OPEN"),
        UniqueConstraint("note_once", ["note"]),
        NonNullConstraint("has_status", "status", violation_code="NO_STATUS"),
    ],
)
Orders = Relation(source=Customer, source_property="orders", target=Order, target_property="customer", type="1:n")
Place = EventSource("place", Entity("Placed", [Property("what", "object")]))
Rate = Dictionary("rate", "number", default=1.5)


def controller(engine: Engine) -> Controller:
    return Controller(
        System(engine, base=MetaData()),
        entities=[Customer, Order],
        relations=[Orders],
        dictionaries=[Rate],
        event_sources=[Place],
    )


def test_definitions_are_compiled_onto_the_base_of_the_system(engine: Engine) -> None:
    made = controller(engine)
    made.setup(install=True)
    made.setup(install=True)
    made.setup()
    assert {"customer", "order", "placed", "dictionary_rate"} <= set(inspect(engine).get_table_names())
    assert made.system.storage.dictionary.get("rate") == 1.5
    assert made.dispatch("place", {}).ok


def test_two_controllers_over_the_same_definitions(engine: Engine) -> None:
    first, second = controller(engine), controller(engine)
    first.setup(install=True)
    second.setup()
    assert second.dispatch(Place, {}).ok


def test_everything_missing_is_named_at_once(engine: Engine) -> None:
    made = controller(engine)
    made.setup(install=True)
    with engine.begin() as connection:
        connection.execute(text('ALTER TABLE "order" RENAME COLUMN status TO other'))
        connection.execute(text("DROP TABLE placed"))
    with pytest.raises(DefinitionError) as caught:
        made.setup()
    assert {str(fault) for fault in caught.value.exceptions} == {
        "column order.status is missing",
        "table 'placed' is missing",
    }
    assert "placed" not in inspect(engine).get_table_names()


def test_a_missing_constraint(engine: Engine) -> None:
    made = controller(engine)
    made.setup(install=True)
    index = next(i["name"] for i in inspect(engine).get_indexes("order") if "one_open" in (i["name"] or ""))
    with engine.begin() as connection:
        connection.execute(text(f"DROP INDEX {index}"))
    with pytest.raises(ConstraintSetupError) as caught:
        made.setup()
    assert (caught.value.constraint, caught.value.record) == ("one_open", "Order")
    assert (caught.value.properties, caught.value.context["physical_name"]) == (("customer",), index)


def test_declarative_models(engine: Engine) -> None:
    made = Controller(System(engine, base=Base))
    with pytest.raises(DefinitionError, match="setup\\(install=True\\)"):
        made.setup()
    made.setup(install=True)
    made.setup()


def violation(made: Controller, *orders: dict[str, object]) -> ConstraintViolationError:
    cls = made.system.schema.mapped_class(Order)

    def resolve(ctx: object, args: object) -> None:
        ctx.session.add_all([cls(**values) for values in orders])  # type: ignore[attr-defined]

    source = EventSource("place", Place.entity, resolve=resolve)
    result = Controller(made.system, event_sources=[source]).dispatch(source, {})
    assert isinstance(result.error, ConstraintViolationError)
    return result.error


def test_declared_constraints_are_recognised(engine: Engine) -> None:
    made = controller(engine)
    made.setup(install=True)
    made.system.storage.create("Customer", {"id": 1})
    mapper = inspect(made.system.schema.mapped_class(Order))
    reference = next(key for key, column in mapper.columns.items() if column.foreign_keys)

    found = violation(made, {reference: 1}, {reference: 1})
    assert (found.constraint, found.code, found.kind) == ("one_open", "ORDER_OPEN", "unique")
    assert (found.record, found.properties) == ("Order", ("customer",))
    assert str(found) == "Order(customer): the unique constraint 'one_open' is violated (ORDER_OPEN)"

    found = violation(made, {"note": "a"}, {"note": "a"})
    assert (found.constraint, found.code) == ("note_once", "UNIQUE_CONSTRAINT_VIOLATION")
    assert (found.record, found.properties) == ("Order", ("note",))
    assert made.system.storage.find("Order") == []


def test_declared_non_null_constraints_are_recognised(engine: Engine) -> None:
    made = controller(engine)
    made.setup(install=True)
    found = violation(made, {"status": null()})
    assert (found.constraint, found.code, found.kind) == ("has_status", "NO_STATUS", "non-null")
    assert (found.record, found.properties) == ("Order", ("status",))


def test_a_new_dictionary_counts_the_rows_that_are_there(engine: Engine) -> None:
    made = controller(engine)
    made.setup(install=True)
    made.system.storage.create("Customer", {"id": 1})
    customers = Dictionary("customers", "number", computation=Count("Customer"))
    later = Controller(made.system, dictionaries=[customers])
    later.setup(install=True)
    assert made.system.storage.dictionary.get("customers") == 1
    made.system.storage.create("Customer", {"id": 2})
    assert made.system.storage.dictionary.get("customers") == 2


def test_a_session_bound_to_a_connection(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        made = Controller(System(sessionmaker(connection), base=MetaData()), event_sources=[Place])
        made.setup(install=True)
        made.setup()
        assert inspect(connection).has_table("placed")
        assert transaction.is_active
