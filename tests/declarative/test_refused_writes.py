"""Writes to computed columns are refused, by whatever way they come."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Table, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from interaqt_sa import ComputedWriteError, UnmanagedWriteError
from tests.declarative import test_joined_inheritance as joined
from tests.declarative import test_to_many as to_many
from tests.declarative.kept import Keep, Kept
from tests.declarative.shop import Base, Customer, Order

CUSTOMERS: Table = Customer.__table__  # type: ignore[assignment]


@pytest.fixture
def shop(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add(Customer(name="a", orders=[Order()]))
    return kept


@pytest.mark.parametrize(
    ("name", "value"), [("order_count", 5), ("spent", 2), ("all_paid", True), ("spent", None)], ids=str
)
def test_assignments(shop: Kept, name: str, value: Any) -> None:
    with pytest.raises(ComputedWriteError) as caught, shop.begin() as session:
        setattr(session.get_one(Customer, 1), name, value)
    assert (caught.value.record, caught.value.property) == ("Customer", name)
    assert f"Customer.{name} is computed (by " in str(caught.value)
    assert "change the values that it is computed from" in str(caught.value)
    assert shop.stored(Customer.id, Customer.order_count) == [(1, 1)]


def test_an_assignment_of_a_sql_expression(shop: Kept) -> None:
    with pytest.raises(ComputedWriteError, match=r"Customer\.order_count"), shop.begin() as session:
        session.get_one(Customer, 1).order_count = Customer.order_count + 1  # type: ignore[assignment]


def test_an_assignment_of_the_same_value_changes_nothing(shop: Kept) -> None:
    with shop.begin() as session:
        customer = session.get_one(Customer, 1)
        customer.order_count = 1
        customer.name = "b"
    assert shop.stored(Customer.name, Customer.order_count) == [("b", 1)]


def test_an_assignment_of_what_is_stored_no_more(shop: Kept) -> None:
    """The object knew 1; another session has made it 2 meanwhile; 1 must not be written."""
    with shop.sessions(expire_on_commit=False) as session:
        customer = session.get_one(Customer, 1)
        session.commit()
        shop.run(insert(Order), [{"customer_id": 1}])
        customer.order_count = 1
        customer.name = "b"
        session.commit()
    assert shop.stored(Customer.name, Customer.order_count) == [("b", 2)]


def test_values_in_the_constructor(shop: Kept) -> None:
    with pytest.raises(ComputedWriteError, match=r"Customer\.order_count"), shop.begin() as session:
        session.add(Customer(name="b", order_count=3))
    with shop.begin() as session:
        session.add(Customer(name="c", order_count=0, orders=[Order(), Order()]))
    assert shop.stored(Customer.name, Customer.order_count) == [("a", 1), ("c", 2)]


def test_same_row_values(keep: Keep) -> None:
    from tests.declarative.test_merge import Base as CartBase
    from tests.declarative.test_merge import Cart

    kept = keep(CartBase)
    with kept.begin() as session:
        session.add(Cart(note="x"))
    with pytest.raises(ComputedWriteError, match=r"Cart\.caption"), kept.begin() as session:
        session.get_one(Cart, 1).caption = "y"
    with pytest.raises(ComputedWriteError, match=r"Cart\.caption"), kept.begin() as session:
        session.execute(update(Cart).values(caption="y"))
    assert kept.stored(Cart.id, Cart.caption) == [(1, "cart x")]


@pytest.mark.parametrize(
    "statement",
    [
        insert(Customer).values(name="b", order_count=1),
        insert(Customer).values([{"name": "b", "spent": 1}]),
        insert(CUSTOMERS).values(name="b", order_count=1),
        insert(Customer).from_select(["name", "order_count"], select(Customer.name, Customer.id)),
        update(Customer).values(order_count=7),
        update(Customer).values({Customer.spent: Customer.spent + 1}),
        update(CUSTOMERS).values({"spent": 2}),
        update(CUSTOMERS).values({CUSTOMERS.c.all_paid: True}),
        update(Customer).ordered_values((Customer.name, "b"), (Customer.order_count, 2)),
    ],
    ids=str,
)
def test_statements(shop: Kept, statement: Any) -> None:
    with pytest.raises(ComputedWriteError, match="is computed"), shop.begin() as session:
        session.execute(statement)
    assert shop.stored(Customer.name, Customer.order_count, Customer.spent) == [("a", 1, 1)]


@pytest.mark.parametrize(
    ("statement", "rows"),
    [
        (insert(Customer), [{"name": "b"}, {"name": "c", "order_count": 4}]),
        (update(Customer), [{"id": 1, "order_count": 4}]),
        (insert(CUSTOMERS), {"name": "b", "spent": 4}),
    ],
    ids=str,
)
def test_parameters_of_statements(shop: Kept, statement: Any, rows: Any) -> None:
    with pytest.raises(ComputedWriteError, match="is computed"), shop.begin() as session:
        session.execute(statement, rows)


def test_hidden_columns(shop: Kept) -> None:
    with pytest.raises(ComputedWriteError, match="is computed"), shop.begin() as session:
        session.execute(update(CUSTOMERS).values(_all_paid__unmatched=7))
    with pytest.raises(ComputedWriteError, match="is computed"), shop.begin() as session:
        session.execute(insert(CUSTOMERS), [{"name": "b", "_all_paid__unmatched": 7}])


@pytest.mark.parametrize("computed_in", ["values", "set"])
def test_upserts(shop: Kept, computed_in: str) -> None:
    dialect_insert: Any = postgresql_insert if shop.engine.dialect.name == "postgresql" else sqlite_insert
    values = {"id": 1, "name": "b", **({"order_count": 8} if computed_in == "values" else {})}
    changes = {"order_count": 8} if computed_in == "set" else {"name": "c"}
    statement = dialect_insert(Customer).values(**values).on_conflict_do_update(index_elements=["id"], set_=changes)
    with pytest.raises(ComputedWriteError, match=r"Customer\.order_count"), shop.begin() as session:
        session.execute(statement)
    assert shop.stored(Customer.name, Customer.order_count) == [("a", 1)]


def test_columns_of_an_upper_table(keep: Keep) -> None:
    kept = keep(joined.Base)
    with pytest.raises(ComputedWriteError, match=r"Place\.visit_count"), kept.begin() as session:
        session.execute(insert(joined.Museum), [{"visit_count": 3}])
    with pytest.raises(ComputedWriteError, match=r"Place\.visit_count"), kept.begin() as session:
        session.add(joined.Museum(visit_count=3))


def test_writes_past_the_unit_of_work(shop: Kept) -> None:
    attempts: list[Any] = [
        lambda session: session.bulk_save_objects([Order(customer_id=1)]),
        lambda session: session.bulk_insert_mappings(Order, [{"customer_id": 1}]),
        lambda session: session.bulk_update_mappings(Order, [{"id": 1, "total": 9}]),
        lambda session: session.connection().execute(insert(Order), [{"customer_id": 1}]),
    ]
    for attempt in attempts:
        with pytest.raises(UnmanagedWriteError, match=r"use session\.execute\("), shop.begin() as session:
            attempt(session)
    assert shop.stored(Customer.name, Customer.order_count, Customer.spent) == [("a", 1, 1)]


def test_a_bulk_update_of_a_key(keep: Keep) -> None:
    kept = keep(to_many.Base)
    with kept.begin() as session:
        session.add(to_many.Customer(name="a"))
    with pytest.raises(UnmanagedWriteError, match=r"customer\.name would change primary keys"):
        kept.run(update(to_many.Customer).values(name="b"))
