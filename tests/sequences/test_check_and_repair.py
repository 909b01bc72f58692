"""Counters behind their rows, rows without a number and numbers that occur twice: R-S15."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert, update

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.kept import Kept
from tests.sequences.invoices import Base, Customer, Invoice, counters, numbers

_COUNTERS = Base.metadata.tables["interaqt_scoped_counters"]


@pytest.fixture
def filled(invoices: Kept) -> Kept:
    """Return a database with five invoices of the first customer and one of the second."""
    with invoices.begin() as session:
        session.execute(insert(Invoice), [{"customer_id": 1}] * 5 + [{"customer_id": 2}])
    return invoices


@behaviour("R-S15")
def test_counters_that_are_behind(filled: Kept) -> None:
    with filled.engine.begin() as connection:
        connection.execute(update(_COUNTERS).where(_COUNTERS.c.scope == "[1]").values(last=3))
        connection.execute(delete(_COUNTERS).where(_COUNTERS.c.scope == "[2]"))
        connection.execute(update(_COUNTERS).where(_COUNTERS.c.sequence == "final").values(last=5000))
    report = filled.system.check()
    found = [(d.record, d.id, d.property, d.stored, d.expected) for d in report.differences]
    assert found == [
        ("Invoice", "[1]", "number (counter)", 3, 5),
        ("Invoice", "[2]", "number (counter)", None, 1),
    ]
    assert filled.system.check(Invoice, property="final").ok
    assert filled.system.check(Invoice, keys=[1, 2]).ok
    assert filled.system.check(Customer).ok
    filled.system.repair()
    filled.verify()
    with filled.begin() as session:
        assert counters(session) == {("invoice", "[1]"): 5, ("invoice", "[2]"): 1, ("final", '["EU",2026]'): 5000}
        session.add(made := Invoice(customer_id=1))
        session.flush()
        assert (made.number, made.final) == (6, 5010)


@behaviour("R-S15")
def test_rows_without_a_number(filled: Kept) -> None:
    invoice = Base.metadata.tables["invoice"]
    with filled.engine.begin() as connection:  # past every session
        connection.execute(insert(invoice), [{"customer_id": n, "region": "EU", "draft": False} for n in (2, 1)])
    report = filled.system.check()
    assert {(d.id, d.property, d.stored) for d in report.differences if d.property == "number"} == {
        (7, "number", 0),
        (8, "number", 0),
    }
    filled.system.repair()
    filled.system.repair()  # the labels of numbered rows, and the counts of customers
    filled.verify()
    with filled.begin() as session:
        assert (numbers(session, 1), numbers(session, 2)) == ([1, 2, 3, 4, 5, 6], [1, 2])
        assert session.get_one(Invoice, 8).label == "EU-6"
        assert session.get_one(Customer, 2).latest == 2


@behaviour("R-S15")
def test_numbers_that_occur_twice_are_reported_and_kept(filled: Kept) -> None:
    with filled.engine.begin() as connection:
        connection.execute(update(Invoice).where(Invoice.id == 2).values(final=1010))
    for report in (filled.system.check(), filled.system.repair(), filled.system.check(Invoice, keys=[1, 2, 3])):
        assert [(d.id, d.property, d.stored) for d in report.differences] == [(1, "final", 1010), (2, "final", 1010)]
    assert filled.system.check(Invoice, keys=[3]).ok
    assert filled.system.check(Invoice, keys=iq.KeyRange(3, 9)).ok
    assert len(filled.system.check(Invoice, keys=iq.KeyRange(2, 9)).differences) == 1


def test_the_graph_names_what_determines_the_scope(invoices: Kept) -> None:
    inputs = {node.name: node.inputs for node in invoices.system.graph().nodes}
    assert inputs["Invoice.number"] == ("Invoice.customer_id",)
    assert inputs["Invoice.final"] == ("Invoice.draft", "Invoice.region", "Invoice.year")
    assert "Invoice.number" in inputs["Customer.latest"]
