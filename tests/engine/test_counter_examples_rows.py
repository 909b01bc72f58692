"""Which row is which: switched rows, changed keys, attributes that memory does not hold, versions, merge."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import ForeignKey, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, defer, load_only, mapped_column, relationship
from sqlalchemy.orm.exc import StaleDataError

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.ledger import Account, Base, Entry, Versioned
from tests.engine.schedules import assert_true
from tests.support.statements import count_statements


@pytest.fixture
def ledger(make_system: MakeSystem) -> iq.System:
    """Return a system over two accounts; the first has two entries."""
    system = make_system(Base)
    with system.session_factory.begin() as session:
        entries = [Entry(id=1, amount=Decimal(10)), Entry(id=2, amount=Decimal(5))]
        session.add_all([Account(id=1, entries=entries), Account(id=2)])
    return system


def balances(system: iq.System) -> list[tuple[int, Decimal]]:
    assert_true(system)
    with system.session_factory() as session:
        rows = session.execute(select(Account.entry_count, Account.balance).order_by(Account.id))
        return [(count, balance) for count, balance in rows]


def test_a_deleted_and_added_row_of_one_key_is_an_update(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.delete(session.get_one(Entry, 1))
        session.add(Entry(id=1, account_id=2, amount=Decimal(7)))
    assert balances(ledger) == [(1, 5), (1, 7)]


def test_a_switched_row_keeps_the_columns_that_the_new_object_does_not_set(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.delete(session.get_one(Entry, 1))
        session.add(Entry(id=1, amount=Decimal(7)))
    with ledger.session_factory() as session:
        account_id = session.get_one(Entry, 1).account_id
    assert balances(ledger) == ([(2, 12), (0, 0)] if account_id == 1 else [(1, 5), (0, 0)])


def test_a_member_changes_its_key(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.get_one(Entry, 1).id = 77
    assert balances(ledger) == [(2, 15), (0, 0)]


def test_a_member_changes_its_key_its_host_and_its_amount(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        entry = session.get_one(Entry, 1)
        entry.id, entry.account_id, entry.amount = 77, 2, Decimal(4)
    assert balances(ledger) == [(1, 5), (1, 4)]


def test_a_foreign_key_that_is_not_loaded_is_read_where_it_is(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        entry = session.get_one(Entry, 1)
        session.expire(entry, ["account_id"])
        entry.amount = Decimal(20)
    assert balances(ledger) == [(2, 25), (0, 0)]


def test_a_deferred_foreign_key_is_read_where_it_is(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        entry = session.scalars(select(Entry).where(Entry.id == 1).options(defer(Entry.account_id))).one()
        entry.amount = Decimal(20)
    assert balances(ledger) == [(2, 25), (0, 0)]


def test_an_expired_row_moves(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        entry = session.get_one(Entry, 1)
        session.expire(entry)
        entry.account_id = 2
    assert balances(ledger) == [(1, 5), (1, 10)]


def test_hosts_that_are_not_loaded_stay_so(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account = session.scalars(select(Account).where(Account.id == 1).options(load_only(Account.id))).one()
        session.get_one(Entry, 1).amount = Decimal(1)
        session.flush()
        with count_statements(session.connection().engine) as statements:
            assert account.balance == 6
        assert not statements
    assert balances(ledger) == [(2, 6), (0, 0)]


def test_merge_of_an_existing_row_is_an_update(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.merge(Entry(id=1, account_id=2, amount=Decimal(9), quantity=3))
        session.merge(Entry(id=50, account_id=2, amount=Decimal(1)))
    assert balances(ledger) == [(1, 5), (2, 10)]


def test_merge_without_loading_takes_what_it_is_given(ledger: iq.System) -> None:
    with ledger.session_factory() as other:
        entry = other.get_one(Entry, 1)
    with ledger.session_factory.begin() as session:
        merged = session.merge(entry, load=False)
        merged.amount = Decimal(11)
    assert balances(ledger) == [(2, 16), (0, 0)]


def test_versions_of_hosts_are_their_own_affair(make_system: MakeSystem) -> None:
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Versioned(id=1, children=[Versioned(id=2, weight=2), Versioned(id=3, weight=3)]))
    with system.session_factory.begin() as session:
        host = session.get_one(Versioned, 1)
        session.get_one(Versioned, 2).weight = 5
        session.flush()
        assert (host.child_weight, host.version) == (8, 1)
        host.weight = 9  # whoever has loaded the host may still write it
        session.flush()
        assert host.version == 2
    assert_true(system)


def test_a_delete_of_a_version_that_is_gone_fails_and_changes_nothing(make_system: MakeSystem) -> None:
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add(Versioned(id=1, children=[Versioned(id=2, weight=2)]))
    with system.session_factory() as session:
        child = session.get_one(Versioned, 2)
    assert inspect(child).detached
    with system.session_factory.begin() as session:
        session.get_one(Versioned, 2).weight = 7
    with system.session_factory() as session:
        session.add(child)
        session.delete(child)
        with pytest.raises(StaleDataError):
            session.flush()
    with system.session_factory() as session:
        assert session.get_one(Versioned, 1).child_weight == 7
    assert_true(system)


class RenamingBase(DeclarativeBase):
    pass


class Room(RenamingBase):
    __tablename__ = "room"
    code: Mapped[str] = mapped_column(primary_key=True)
    seat_count: Mapped[int] = iq.computed(iq.Count("seats"))
    seats: Mapped[list[Seat]] = relationship(back_populates="room", passive_updates=True)


class Seat(RenamingBase):
    __tablename__ = "seat"
    id: Mapped[int] = mapped_column(primary_key=True)
    room_code: Mapped[str] = mapped_column(ForeignKey("room.code", onupdate="CASCADE"))
    room: Mapped[Room] = relationship(back_populates="seats")


@pytest.mark.parametrize("seats_loaded", [False, True])
def test_a_host_changes_its_key_and_keeps_its_members(make_system: MakeSystem, seats_loaded: bool) -> None:
    system = make_system(RenamingBase)
    with system.session_factory.begin() as session:
        session.add(Room(code="a", seats=[Seat(id=1), Seat(id=2)]))
    with system.session_factory.begin() as session:
        room = session.get_one(Room, "a")
        if seats_loaded:
            assert len(room.seats) == 2
        room.code = "b"
        session.flush()
        session.add(Seat(id=3, room_code="b"))
        session.flush()
        assert room.seat_count == 3
    assert_true(system)
