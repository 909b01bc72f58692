"""Values and rows that somebody broke by raw SQL: check names each, repair mends it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, text

import interaqt_sa as iq

#: values are broken on purpose, past every session
pytestmark = pytest.mark.filterwarnings("ignore:this SQL text:interaqt_sa.UnattachedWriteWarning")

DEFINITIONS: dict[str, Any] = {
    "entities": [
        iq.Entity(
            "Order",
            [
                iq.Property("price", int),
                iq.Property("total", int, computed=lambda order: order.price * 2),
            ],
        ),
        iq.Entity(
            "Customer",
            [
                iq.Property("spent", int, computation=iq.Summation("orders", "total")),
                iq.Property("mean", float, computation=iq.Average("orders", "total")),
                iq.Property(
                    "rich", bool, computation=iq.Every("orders", expression={"total": (">", 1)}, not_empty=True)
                ),
            ],
        ),
        iq.Entity(
            "Invoice",
            [iq.Property("amount", int)],
            computation=iq.Transform("Order", lambda order: {"amount": order.total}, attribute_query=["total"]),
        ),
    ],
    "relations": [
        iq.Relation(source="Customer", source_property="orders", target="Order", target_property="customer", type="1:n")
    ],
    "dictionaries": [iq.Dictionary("invoiced", int, computation=iq.Summation("Invoice", "amount"))],
}
BREAKS = [
    ('UPDATE "order" SET total = 1 WHERE id = 1', {("Order", "total")}),
    ("UPDATE customer SET spent = spent + 1", {("Customer", "spent")}),
    ("UPDATE customer SET mean = 0, rich = NOT rich", {("Customer", "mean"), ("Customer", "rich")}),
    ("UPDATE customer SET _mean__count = 9", {("Customer", "_mean__count")}),
    ("UPDATE customer SET _rich__unmatched = 1", {("Customer", "_rich__unmatched")}),
    ("UPDATE dictionary_invoiced SET value = 0", {("dictionary_invoiced", "value")}),
    ("DELETE FROM dictionary_invoiced", {("dictionary_invoiced", "(row)")}),
    ("DELETE FROM invoice WHERE id = 1", {("Invoice", "(row)")}),
    ("UPDATE invoice SET amount = 7 WHERE id = 1", {("Invoice", "(row)")}),
    ("UPDATE invoice SET _transform__source = '77' WHERE id = 1", {("Invoice", "(row)")}),
    ("UPDATE invoice SET _transform__source = 'no key' WHERE id = 1", {("Invoice", "(row)")}),
    ("UPDATE invoice SET _transform__index = 4 WHERE id = 1", {("Invoice", "(row)")}),
]


@pytest.fixture
def controller(engine: Engine) -> iq.Controller:
    controller = iq.Controller(iq.System(engine, base=iq.compile_schema(MetaData(), **DEFINITIONS)))
    controller.setup(install=True)
    controller.system.storage.create("Customer", {"orders": [{"price": 1}, {"price": 2}, {"price": 3}]})
    return controller


def stored(system: iq.System) -> Any:
    customers = system.storage.find("Customer", attribute_query=["*"])
    invoices = sorted(row["amount"] for row in system.storage.find("Invoice", attribute_query=["amount"]))
    return customers, invoices, system.storage.dictionary.get("invoiced")


@pytest.mark.parametrize(("statement", "named"), BREAKS)
def test_named_and_mended(
    controller: iq.Controller, engine: Engine, statement: str, named: set[tuple[str, str]]
) -> None:
    system, good = controller.system, stored(controller.system)
    assert good == ([{"id": 1, "spent": 12, "mean": 4.0, "rich": True}], [2, 4, 6], 12)
    with engine.begin() as connection:
        connection.execute(text(statement))
    found = system.check()
    assert named <= {(difference.record, difference.property) for difference in found.differences}
    system.repair()
    assert system.check().ok
    assert stored(system) == good


def test_setup_computes_the_row_that_it_writes(controller: iq.Controller, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM dictionary_invoiced"))
    controller.setup(install=True)
    assert controller.system.storage.dictionary.get("invoiced") == 12
    assert controller.system.check().ok


def test_faults_are_found_before_anything_is_created(engine: Engine) -> None:
    faulty = iq.Entity("Faulty", [iq.Property("n", int, computation=iq.Count("nothing"))])
    controller = iq.Controller(iq.System(engine), entities=[faulty])
    with pytest.raises(iq.DefinitionError, match="'nothing' is not a relationship"):
        controller.setup(install=True)
    with engine.connect() as connection:
        assert not engine.dialect.has_table(connection, "faulty")
