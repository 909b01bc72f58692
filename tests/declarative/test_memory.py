"""Loaded objects: fresh after every write, nothing expired, no I/O by looking at them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import delete, insert, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.orm import Session

from interaqt_sa import AsyncSystem
from tests.declarative.kept import Keep, Kept
from tests.declarative.shop import Base, Customer, Order
from tests.support.statements import count_statements


@pytest.fixture
def shop(keep: Keep) -> Kept:
    kept = keep(Base)
    with kept.begin() as session:
        session.add_all([Customer(name="a", orders=[Order()]), Customer(name="b")])
    return kept


def seen(customer: Customer) -> tuple[int, Decimal, bool]:
    return customer.order_count, customer.spent, customer.all_paid


def test_no_write_expires_anything(shop: Kept) -> None:
    with shop.sessions() as session:
        first, second = session.scalars(select(Customer).order_by(Customer.name))
        order = first.orders[0]
        second.name = "bb"
        order.customer = second
        order.paid = True
        session.flush()
        session.execute(insert(Order), [{"customer_id": first.id, "total": 3}])
        session.execute(update(Order).where(Order.total == 3).values(total=4))
        with count_statements(shop.engine) as statements:
            assert seen(first) == (1, Decimal(4), False)
            assert seen(second) == (1, Decimal(1), True)
        assert statements == []
        assert not {"order_count", "spent", "all_paid"} & inspect(first).expired_attributes
        session.execute(delete(Order).where(Order.customer_id == first.id))
        assert seen(first) == (0, Decimal(0), True)
        session.rollback()


def test_fresh_values_are_no_changes(shop: Kept) -> None:
    with shop.sessions() as session:
        customer = session.get_one(Customer, 1)
        session.add(Order(customer_id=1))
        session.flush()
        assert customer.order_count == 2
        assert not session.is_modified(customer)
        assert inspect(customer).attrs.order_count.history.unchanged == [2]
        with count_statements(shop.engine) as statements:
            session.flush()
        assert statements == []


def test_new_objects_know_their_values_at_once(shop: Kept) -> None:
    with shop.sessions() as session:
        customer = Customer(name="c", orders=[Order(total=2), Order(total=5, paid=True)])
        lonely = Customer(name="d")
        session.add_all([customer, lonely])
        session.flush()
        assert seen(customer) == (2, Decimal(7), False)
        assert seen(lonely) == (0, Decimal(0), True)
        session.rollback()


def test_unloaded_and_expired_values_are_read_when_asked_for(shop: Kept) -> None:
    with shop.sessions() as session:
        customer = session.get_one(Customer, 1)
        session.expire(customer, ["order_count"])
        session.add(Order(customer_id=1))
        session.flush()
        assert customer.order_count == 2
        session.commit()
        session.add(Order(customer_id=1))
        session.flush()
        assert customer.order_count == 3


def test_rollbacks_take_values_in_memory_back(shop: Kept) -> None:
    with shop.sessions() as session:
        customer = session.get_one(Customer, 1)
        session.add(Order(customer_id=1))
        session.flush()
        with session.begin_nested() as savepoint:
            session.execute(insert(Order), [{"customer_id": 1}, {"customer_id": 1}])
            assert customer.order_count == 4
            savepoint.rollback()
        assert customer.order_count == 2
        with session.begin_nested():
            session.add(Order(customer_id=1))
        assert customer.order_count == 3
        session.rollback()
        assert customer.order_count == 1


def test_two_sessions_see_each_other_s_values_as_ever(shop: Kept) -> None:
    with shop.sessions() as session:
        customer = session.get_one(Customer, 1)
        session.commit()
        shop.run(insert(Order), [{"customer_id": 1}])
        assert customer.order_count == 2
        session.commit()
        session.refresh(customer)
        assert seen(customer) == (2, Decimal(2), False)


def test_objects_that_nobody_holds_are_not_kept(shop: Kept) -> None:
    with shop.sessions() as session:
        session.add(Order(customer_id=session.get_one(Customer, 1).id))
        session.flush()
        assert Customer not in {type(instance) for instance in session}
        session.rollback()


async def test_attributes_need_no_io_in_asynchronous_sessions(async_engine: AsyncEngine) -> None:
    async with async_engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(async_engine, expire_on_commit=False)
    AsyncSystem(sessions, base=Base)
    async with sessions.begin() as session:
        customer = Customer(name="a", orders=[Order(total=2)])
        session.add(customer)
        await session.flush()
        assert seen(customer) == (1, Decimal(2), False)
        await session.execute(update(Order).values(paid=True, total=9))
        assert seen(customer) == (1, Decimal(9), True)

        def move(sync: Session) -> None:
            with sync.begin_nested() as savepoint:
                sync.delete(customer.orders[0])
                sync.flush()
                assert customer.order_count == 0
                savepoint.rollback()

        await session.run_sync(move)
        assert customer.order_count == 1
    assert seen(customer) == (1, Decimal(9), True)
