"""What a savepoint's rollback takes back, the loaded objects and the locks that the engine trusts included."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import update

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.ledger import Account, Base, Entry
from tests.engine.schedules import assert_true


@pytest.fixture
def ledger(make_system: MakeSystem) -> iq.System:
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Account(id=1, entries=[Entry(id=1, amount=Decimal(10))]), Account(id=2)])
    return system


def test_a_sessions_savepoint_takes_back_what_loaded_objects_show(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        with session.begin_nested() as savepoint:
            session.add(Entry(id=2, account_id=1, amount=Decimal(5)))
            session.flush()
            assert account.balance == 15
            savepoint.rollback()
        assert account.balance == 10
        session.add(Entry(id=3, account_id=1, amount=Decimal(1)))
        session.flush()
        assert account.balance == 11
    assert_true(ledger)


def test_a_connections_savepoint_does_so_too(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        savepoint = session.connection().begin_nested()
        session.execute(update(Entry).where(Entry.id == 1).values(amount=50))
        assert account.balance == 50
        savepoint.rollback()
        assert account.balance == 10
        session.expire_all()
        assert account.balance == 10
    assert_true(ledger)


def test_nested_savepoints_are_taken_back_one_by_one(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        outer = session.begin_nested()
        session.get_one(Entry, 1).amount = Decimal(20)
        session.flush()
        inner = session.begin_nested()
        session.get_one(Entry, 1).account_id = 2
        session.flush()
        assert (account.balance, session.get_one(Account, 2).balance) == (0, 20)
        inner.rollback()
        assert (account.balance, session.get_one(Account, 2).balance) == (20, 0)
        outer.rollback()
        assert (account.balance, session.get_one(Account, 2).balance) == (10, 0)
    assert_true(ledger)


def test_a_released_savepoint_goes_with_the_one_around_it(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        outer = session.begin_nested()
        with session.begin_nested():
            session.get_one(Entry, 1).amount = Decimal(20)
        assert account.balance == 20
        outer.rollback()
        assert account.balance == 10
        session.get_one(Entry, 1).amount = Decimal(11)
        session.flush()
        assert account.balance == 11
    assert_true(ledger)


def test_an_error_in_a_savepoint_leaves_the_rest_true(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        savepoint = session.begin_nested()
        session.add(Entry(id=2, account_id=1, amount=Decimal(5)))
        session.flush()
        account.entry_count = 99
        with pytest.raises(iq.ComputedWriteError):
            session.flush()
        savepoint.rollback()
        assert account.entry_count == 1
        session.add(Entry(id=2, account_id=1, amount=Decimal(6)))
        session.flush()
        assert (account.entry_count, account.balance) == (2, 16)
    assert_true(ledger)


def test_a_row_deleted_in_a_savepoint_comes_back(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account, entry = session.get_one(Account, 1), session.get_one(Entry, 1)
        with session.begin_nested() as savepoint:
            session.delete(entry)
            session.flush()
            assert account.entry_count == 0
            savepoint.rollback()
        assert account.entry_count == 1
        entry.amount = Decimal(3)
        session.flush()
        assert account.balance == 3
    assert_true(ledger)


def test_a_host_that_is_loaded_in_a_savepoint_is_not_left_with_its_values(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        with session.begin_nested() as savepoint:
            session.execute(update(Entry).where(Entry.id == 1).values(amount=50))
            account = session.get_one(Account, 1)
            assert account.balance == 50
            savepoint.rollback()
        assert account.balance == 10
    assert_true(ledger)


def test_a_host_that_was_expired_before_a_savepoint_is_loaded_after_it(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        session.expire(account)
        with session.begin_nested() as savepoint:
            session.execute(update(Entry).where(Entry.id == 1).values(amount=50))
            savepoint.rollback()
        assert account.balance == 10
    assert_true(ledger)


def test_the_whole_transactions_rollback_is_the_sessions_own_affair(ledger: iq.System) -> None:
    with ledger.session_factory() as session:
        account = session.get_one(Account, 1)
        session.get_one(Entry, 1).amount = Decimal(20)
        session.flush()
        assert account.balance == 20
        session.rollback()
        assert account.balance == 10
    assert_true(ledger)


def test_an_image_read_in_a_savepoint_is_not_trusted_after_it(make_postgres_system: MakeSystem) -> None:
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add(Account(id=1, entries=[Entry(id=1, amount=Decimal(10))]))
    with system.session_factory.begin() as session:
        with session.begin_nested() as savepoint:
            session.get_one(Entry, 1).amount = Decimal(20)
            session.flush()
            savepoint.rollback()  # and with it the lock on the entry
        with system.session_factory.begin() as other:
            other.get_one(Entry, 1).amount = Decimal(50)
        session.get_one(Entry, 1).amount = Decimal(30)
    with system.session_factory() as session:
        assert session.get_one(Account, 1).balance == 30
    assert_true(system)
