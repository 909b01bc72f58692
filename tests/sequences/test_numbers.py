"""Every write route numbers new rows: R-S1 to R-S5."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.declarative.kept import Kept
from tests.sequences.invoices import Base, Customer, Invoice, counters, numbers
from tests.support.statements import count_statements


@behaviour("R-S1")
def test_new_objects_have_their_numbers_after_the_flush(invoices: Kept) -> None:
    with invoices.begin() as session:
        ann, bob = session.get_one(Customer, 1), session.get_one(Customer, 2)
        made = [Invoice(customer=ann), Invoice(customer=bob), Invoice(customer_id=1, draft=True), Invoice(customer=ann)]
        session.add_all(made)
        session.flush()
        with count_statements(invoices.engine) as statements:
            assert [(i.number, i.final, i.label) for i in made] == [
                (1, 1010, "EU-1"),
                (1, 1020, "EU-1"),
                (2, None, "EU-2"),
                (3, 1030, "EU-3"),
            ]
            assert (ann.bills, ann.latest, bob.latest) == (3, 3, 1)
        assert statements == []
    invoices.verify()


@behaviour("R-S1")
def test_objects_of_a_new_parent(invoices: Kept) -> None:
    with invoices.begin() as session:
        cid = Customer(invoices=[Invoice(), Invoice(draft=True), Invoice(region="US", year=2020)])
        session.add(cid)
        session.flush()
        with count_statements(invoices.engine) as statements:
            found = [(i.number, i.final, i.region, i.draft, i.label) for i in cid.invoices]
        assert statements == []
        assert found == [
            (1, 1010, "EU", False, "EU-1"),
            (2, None, "EU", True, "EU-2"),
            (3, 1010, "US", False, "US-3"),
        ]
        assert (cid.bills, cid.latest) == (3, 3)
    invoices.verify()


@behaviour("R-S1")
def test_members_appended_to_a_collection_without_a_way_back(invoices: Kept) -> None:
    with invoices.begin() as session:
        ann = session.get_one(Customer, 1)
        session.expire_all()
        ann.invoices.append(Invoice(customer_id=2))  # the collection decides
        ann.invoices.append(Invoice())
        session.flush()
        assert [i.number for i in ann.invoices] == [1, 2]
        assert numbers(session, 2) == []
    invoices.verify()


@behaviour("R-S2")
@pytest.mark.parametrize("into", [Invoice, Invoice.__table__], ids=["class", "table"])
@pytest.mark.parametrize("form", ["rows", "one row", "values", "many values", "returning"])
def test_insert_statements(invoices: Kept, into: Any, form: str) -> None:
    rows = [{"customer_id": 1}, {"customer_id": 2}, {"customer_id": 1}]
    with invoices.begin() as session:
        match form:
            case "rows":
                session.execute(insert(into), rows)
            case "one row":
                for row in rows:
                    session.execute(insert(into), row)
            case "values":
                for row in rows:
                    session.execute(insert(into).values(row))
            case "many values":
                session.execute(insert(into).values(rows))
            case _:
                columns = Invoice.__table__.c
                returned = session.execute(
                    insert(into).returning(columns.customer_id, columns.number, columns.final), rows
                )
                assert sorted(map(tuple, returned)) == [(1, 1, 1010), (1, 2, 1030), (2, 1, 1020)]
        assert (numbers(session, 1), numbers(session, 2)) == ([1, 2], [1])
        assert all("id" not in row and "number" not in row for row in rows)  # the application's own
        found = session.execute(select(Invoice.region, Invoice.year, Invoice.final, Invoice.label).order_by(Invoice.id))
        assert [tuple(row) for row in found] == [
            ("EU", 2026, 1010, "EU-1"),
            ("EU", 2026, 1020, "EU-1"),
            ("EU", 2026, 1030, "EU-2"),
        ]
    invoices.verify()


@behaviour("R-S2")
def test_rows_without_a_number_among_others(invoices: Kept) -> None:
    rows = [{"customer_id": 1, "draft": n % 2 == 0, "region": f"R{n % 3}"} for n in range(7)]
    with invoices.begin() as session:
        session.execute(insert(Invoice), rows)
        found = session.execute(select(Invoice.region, Invoice.final).order_by(Invoice.id)).all()
        assert [tuple(row) for row in found] == [
            ("R0", None),
            ("R1", 1010),
            ("R2", None),
            ("R0", 1010),
            ("R1", None),
            ("R2", 1010),
            ("R0", None),
        ]
        session.execute(insert(Invoice), [{"customer_id": 2, "draft": True}] * 2)
        assert numbers(session, 2) == [1, 2]
    invoices.verify()


@behaviour("R-S3")
@pytest.mark.parametrize("route", ["objects", "statement"])
def test_one_statement_takes_the_numbers_of_all_scopes(invoices: Kept, route: str) -> None:
    with invoices.begin() as session:
        session.add_all([Customer(id=n) for n in range(10, 60)])
        session.flush()
        with count_statements(invoices.engine) as statements:
            if route == "objects":
                session.add_all([Invoice(customer_id=10 + n % 50) for n in range(500)])
                session.flush()
            else:
                session.execute(insert(Invoice), [{"customer_id": 10 + n % 50} for n in range(500)])
        assert sum("interaqt_scoped_counters" in one for one in statements) == 2  # one for each sequence
        assert all(numbers(session, n) == [*range(1, 11)] for n in range(10, 60))
        assert {last for (name, _), last in counters(session).items() if name == "invoice"} == {10}
    invoices.verify()


@behaviour("R-S4")
def test_the_storage_and_events(invoices: Kept) -> None:
    storage = invoices.system.storage
    created: list[Any] = []
    storage.listen(lambda _, events: created.extend(events))
    made = storage.create("Invoice", {"customer": {"id": 1}})
    tree = storage.create("Customer", {"name": "Eve", "invoices": [{}, {"draft": True}]})
    assert storage.find_one("Invoice", {"id": made["id"]}, attribute_query=["number", "final", "label"]) == {
        "id": made["id"],
        "number": 1,
        "final": 1010,
        "label": "EU-1",
    }
    found = storage.find("Invoice", {"customer.id": tree["id"]}, attribute_query=["number"], order_by={"id": "asc"})
    assert [one["number"] for one in found] == [1, 2]
    told = [event.record["number"] for event in created if (event.record_name, event.type) == ("Invoice", "create")]
    assert told == [1, 1, 2]
    invoices.verify()


@behaviour("R-S5")
def test_deleted_rows_leave_the_counter(invoices: Kept) -> None:
    with invoices.begin() as session:
        session.add_all([Invoice(customer_id=1), last := Invoice(customer_id=1)])
        session.flush()
        session.delete(last)
        session.flush()
        session.add(after := Invoice(customer_id=1))
        session.flush()
        assert after.number == 3
        assert numbers(session) == [1, 3]
    invoices.verify()


def test_a_table_without_sequences_pays_nothing(invoices: Kept) -> None:
    note = Base.metadata.tables["note"]
    with invoices.begin() as session, count_statements(invoices.engine) as statements:
        session.execute(insert(note), [{"body": "a"}, {"body": "b"}])
    assert len(statements) == 1


class Tickets(DeclarativeBase):
    pass


class Ticket(Tickets):
    __tablename__ = "ticket"
    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = iq.computed(iq.ScopedSequence("ticket", (), initial_value=-5, step=5))


@behaviour("R-S1")
def test_a_single_counter(engine: Engine) -> None:
    system = Kept(engine, Tickets)
    with system.begin() as session:
        session.add_all([Ticket(), Ticket(), third := Ticket()])
        session.flush()
        assert third.number == 10
        session.execute(insert(Ticket).values(id=9))
        session.execute(insert(Ticket), [{"id": 10}])
        assert list(session.scalars(select(Ticket.number).order_by(Ticket.id))) == [0, 5, 10, 15, 20]
    system.verify()


@behaviour("R-S18")
def test_a_range_of_a_scope(invoices: Kept) -> None:
    storage = invoices.system.storage

    def reserve(inside: iq.Storage) -> tuple[range, range]:
        first = inside.atomic.reserve_sequence_range("invoice", 3, scope={"customer": 1})
        return first, inside.atomic.reserve_sequence_range("final", 2, scope={"region": "EU", "year": "2026"})

    assert storage.run_in_transaction(reserve) == (range(1, 4), range(1010, 1021, 10))
    with invoices.begin() as session:
        session.add(made := Invoice(customer_id=1))
        session.flush()
        assert (made.number, made.final) == (4, 1030)
    for name, count, scope in (
        ("invoice", 1, {"customer_id": 1}),
        ("invoice", 1, {"customer": None}),
        ("invoice", 1, {"customer": "x"}),
        ("invoice", 0, {"customer": 1}),
        ("nothing", 1, {}),
        ("final", 1, {"region": 3, "year": 2026}),
    ):
        with pytest.raises(iq.InvalidValueError):
            storage.run_in_transaction(
                lambda inside, name=name, count=count, scope=scope: inside.atomic.reserve_sequence_range(  # type: ignore[misc]
                    name, count, scope=scope
                )
            )
    invoices.verify()
