"""A number that was rolled back is given again: R-S6, R-S7."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError, StatementError

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.kept import Kept
from tests.sequences.invoices import Customer, Invoice, counters, numbers, rolled_back


@behaviour("R-S6")
def test_a_transaction_returns_its_numbers(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add(Invoice(customer_id=1))
    lost = Invoice(customer_id=1)
    with rolled_back(invoices) as session:
        session.add_all([lost, Invoice(customer_id=2)])
        session.flush()
        assert lost.number == 2
    with invoices.begin() as session:
        session.add(lost)
        session.add(other := Invoice(customer_id=1))
        session.flush()
        assert (lost.number, other.number, numbers(session, 2)) == (2, 3, [])
        assert ("invoice", "[2]") not in counters(session)


@behaviour("R-S6")
@pytest.mark.parametrize("route", ["objects", "statement", "storage"])
def test_a_savepoint_returns_its_numbers(invoices: Kept, route: str) -> None:
    with invoices.begin() as session:
        for _ in range(3):
            savepoint = session.begin_nested()
            match route:
                case "objects":
                    session.add(Invoice(customer_id=1))
                    session.flush()
                case "statement":
                    session.execute(insert(Invoice), [{"customer_id": 1}])
                case _:
                    invoices.system.storage.with_session(session).create("Invoice", {"customer_id": 1})
            assert numbers(session) == [1]
            savepoint.rollback()
        session.add(Invoice(customer_id=1))
        session.flush()
        assert numbers(session) == [1]
    invoices.verify()


@behaviour("R-S6")
def test_an_object_that_a_savepoint_took_away_can_be_added_again(invoices: Kept) -> None:
    with invoices.begin() as session:
        ann = session.get_one(Customer, 1)
        savepoint = session.begin_nested()
        session.add(mine := Invoice(customer=ann))
        session.flush()
        savepoint.rollback()
        session.add_all([mine, other := Invoice(customer_id=1)])
        session.flush()
        assert ({mine.number, other.number}, mine.label, ann.bills) == ({1, 2}, f"EU-{mine.number}", 2)
    invoices.verify()


@behaviour("R-S7")
@pytest.mark.parametrize("rows", ["list", "one"])
def test_a_statement_that_fails_takes_no_number(invoices: Kept, rows: str) -> None:
    given: Any = [{"id": 8, "customer_id": 1}, {"id": 7, "customer_id": 1}]
    with invoices.begin() as session:
        session.add(Invoice(id=7, customer_id=1))
        session.flush()
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(insert(Invoice), given if rows == "list" else given[1])
        session.add(after := Invoice(id=9, customer_id=1))
        session.flush()
        assert after.number == 2
    invoices.verify()


@behaviour("R-S7")
def test_a_statement_that_fails_on_sqlite_takes_no_number(sqlite_invoices: Kept) -> None:
    with sqlite_invoices.begin() as session:
        session.add(Invoice(id=7, customer_id=1))
        session.flush()
        with pytest.raises(IntegrityError):
            session.execute(insert(Invoice), [{"id": 8, "customer_id": 1}, {"id": 7, "customer_id": 1}])
        session.add(after := Invoice(id=9, customer_id=1))
        session.flush()
        assert after.number == 2
        assert numbers(session) == [1, 2]
    sqlite_invoices.verify()


@behaviour("R-S7")
def test_a_flush_that_fails_takes_no_number(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add(Invoice(id=7, customer_id=1))
    mine = Invoice(customer_id=1)
    with invoices.begin() as session:
        savepoint = session.begin_nested()
        session.add_all([mine, Invoice(id=7, customer_id=1)])
        with pytest.raises(IntegrityError):
            session.flush()
        savepoint.rollback()
        session.add(mine)
        session.flush()
        assert mine.number == 2
    invoices.verify()


@behaviour("R-S7")
def test_a_failed_flush_leaves_no_number_on_its_objects(invoices: Kept) -> None:
    orphan = Invoice()
    with invoices.sessions() as session:
        session.add_all([good := Invoice(customer_id=1), orphan])
        with pytest.raises(iq.ComputationError, match="customer_id"):
            session.flush()
        session.rollback()
        assert "number" not in vars(good)
    with invoices.begin() as session:
        orphan.customer_id = 1
        session.add(orphan)
        session.flush()
        assert orphan.number == 1


@behaviour("R-S7")
def test_a_flush_that_does_not_begin_takes_no_number(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add(Invoice(customer_id=1))
    with invoices.begin() as session:
        moved = session.get_one(Invoice, 1)
        session.add(new := Invoice(customer_id=1, region="US"))
        moved.customer_id = 2
        with pytest.raises(iq.ComputationProtocolError):
            session.flush()  # fails before the unit of work begins, so that the transaction goes on
        moved.customer_id = 1
        new.region = "EU"
        session.flush()
        assert (new.number, new.final) == (2, 1020)
        known = counters(session)
        assert (known["invoice", "[1]"], known["final", '["EU",2026]']) == (2, 1020)
        assert known.get(("final", '["US",2026]'), 1000) == 1000
    invoices.verify()


@behaviour("R-S7")
def test_a_statement_that_never_reaches_the_database_takes_no_number(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add(Invoice(customer_id=1))
    with invoices.sessions() as session:
        with pytest.raises((StatementError, TypeError)):
            session.execute(insert(Invoice), [{"customer_id": 1, "draft": "no boolean"}])
        session.rollback()
        session.add(after := Invoice(customer_id=1))
        session.flush()
        assert after.number == 2
