"""What is stored is not always what Python assigned: contributions come from the database."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import CHAR, Double, ForeignKey, Integer, Numeric, insert, literal_column, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

import interaqt_sa as iq
from tests.engine.conftest import MakeSystem
from tests.engine.ledger import Account, Base, Entry
from tests.engine.schedules import assert_true


@pytest.fixture
def ledger(make_system: MakeSystem) -> iq.System:
    """Return a system over two accounts, one of them with an entry."""
    system = make_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Account(id=1, entries=[Entry(id=1, amount=Decimal(10))]), Account(id=2)])
    return system


def test_amounts_are_added_as_the_database_has_rounded_them(make_postgres_system: MakeSystem) -> None:
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        account = Account(id=1, entries=[Entry(amount=Decimal("1.005")), Entry(amount=Decimal("2.005"))])
        session.add(account)
        session.flush()
        assert account.balance == Decimal("3.02")
    assert_true(system)


def test_a_value_may_be_a_sql_expression(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        account, entry = session.get_one(Account, 1), session.get_one(Entry, 1)
        entry.amount = Entry.amount + 7  # type: ignore[assignment]
        session.flush()
        assert account.balance == Decimal(17)
    assert_true(ledger)


def test_a_key_to_the_host_may_be_a_sql_expression(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.get_one(Entry, 1).account_id = Entry.account_id + 1  # type: ignore[assignment]
        session.flush()
        assert session.get_one(Account, 1).entry_count == 0
        assert session.get_one(Account, 2).entry_count == 1
    assert_true(ledger)


def test_a_new_rows_key_may_be_a_sql_expression(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.add(Entry(id=9, account_id=literal_column("1 + 1", Integer), amount=5))
    with ledger.session_factory() as session:
        assert session.get_one(Account, 2).balance == 5
    assert_true(ledger)


def test_an_input_that_the_server_fills_in_counts(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.add(Entry(id=9, account_id=2, amount=Decimal(1)))
        session.flush()
        assert session.get_one(Account, 2).quantity == 3
    assert_true(ledger)


def test_strings_in_numeric_attributes_are_added_as_numbers(make_postgres_system: MakeSystem) -> None:
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        account = Account(id=1, entries=[Entry(amount="3.10", quantity="4")])
        session.add(account)
        session.flush()
        assert (account.balance, account.quantity) == (Decimal("3.10"), 4)
    assert_true(system)


def test_the_hosts_onupdate_does_not_fire(ledger: iq.System) -> None:
    with ledger.session_factory.begin() as session:
        session.add(Entry(id=9, account_id=1, amount=Decimal(1)))
        session.execute(update(Entry).values(amount=Entry.amount + 1))
        session.delete(session.get_one(Entry, 1))
    with ledger.session_factory.begin() as session:
        account = session.get_one(Account, 1)
        assert (account.balance, account.touched) == (Decimal(2), 0)
        account.name = "mine"
        session.flush()
        assert account.touched == 7
    ledger.repair()
    assert_true(ledger)


def test_computed_values_cannot_be_assigned(ledger: iq.System) -> None:
    with ledger.session_factory() as session:
        session.get_one(Account, 1).balance = Decimal(5)
        with pytest.raises(iq.ComputedWriteError, match=r"Account\.balance"):
            session.flush()
        session.rollback()
        with pytest.raises(iq.ComputedWriteError, match=r"Account\.balance"):
            session.execute(update(Account).values(balance=5))
        with pytest.raises(iq.ComputedWriteError, match=r"Account\.entry_count"):
            session.execute(insert(Account), [{"id": 9, "entry_count": 4}])
    assert_true(ledger)


class MeterBase(DeclarativeBase):
    pass


class Meter(MeterBase):
    __tablename__ = "meter"
    code: Mapped[str] = mapped_column(CHAR(4), primary_key=True)
    reading_count: Mapped[int] = iq.computed(iq.Count("readings"))
    level: Mapped[float] = iq.computed(iq.Summation("readings", "value"), Double)
    mean: Mapped[float] = iq.computed(iq.Average("readings", "value"), Double)
    readings: Mapped[list[Reading]] = relationship()


class Reading(MeterBase):
    __tablename__ = "reading"
    id: Mapped[int] = mapped_column(primary_key=True)
    meter_code: Mapped[str] = mapped_column(CHAR(4), ForeignKey("meter.code"))
    value: Mapped[float | None] = mapped_column(Double)


def test_float_sums_come_back_to_the_last_digit(make_postgres_system: MakeSystem) -> None:
    system = make_postgres_system(MeterBase)
    with system.session_factory.begin() as session:
        session.add(Meter(code="a   "))
        session.flush()
        values = [0.1, 0.2, 0.3, 1e16, -1e-7]
        readings = [Reading(meter_code="a   ", value=value) for value in values]
        for reading in readings:  # each addition by itself, in one order
            session.add(reading)
            session.flush()
        for reading in (readings[3], readings[0], readings[4], readings[2]):  # and away in another
            session.delete(reading)
            session.flush()
        assert session.get_one(Meter, "a   ").level == 0.2
    assert_true(system)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_no_number_contributes_nothing(make_postgres_system: MakeSystem, value: float | None) -> None:
    system = make_postgres_system(MeterBase)
    with system.session_factory.begin() as session:
        meter = Meter(code="a   ", readings=[Reading(value=2.5)])
        session.add(meter)
        session.flush()
        session.add(spoilt := Reading(meter_code="a   ", value=value))
        session.flush()
        assert (meter.level, meter.mean, meter.reading_count) == (2.5, 2.5, 2)
        spoilt.value = 1.5
        session.flush()
        assert (meter.level, meter.mean) == (4.0, 2.0)
        spoilt.value = value
        session.flush()
        session.delete(spoilt)
        session.flush()
        assert (meter.level, meter.mean) == (2.5, 2.5)
    assert_true(system)


def test_keys_that_only_the_database_finds_equal_are_one_host(make_postgres_system: MakeSystem) -> None:
    system = make_postgres_system(MeterBase)
    with system.session_factory.begin() as session:
        session.add_all([Meter(code="a   "), Meter(code="b   ")])
    rows: list[Any] = [Reading(meter_code=code, value=1.0) for code in ("a", "a ", "a   ", "b")]
    with system.session_factory.begin() as session:
        session.add_all(rows)
    with system.session_factory.begin() as session:
        assert session.get_one(Meter, "a   ").reading_count == 3
        for reading in session.query(Reading):
            reading.meter_code = "b " if reading.meter_code.strip() == "a" else "a "
    with system.session_factory() as session:
        assert session.get_one(Meter, "a   ").reading_count == 1
        assert session.get_one(Meter, "b   ").level == 3.0
    assert_true(system)
    assert isinstance(Meter.__table__.c["_level__sum"].type, Numeric)


class LedgerBase(DeclarativeBase):
    pass


class Holder(LedgerBase):
    """Two exact sums, each over members of its own."""

    __tablename__ = "holder"
    id: Mapped[int] = mapped_column(primary_key=True)
    paid: Mapped[Decimal] = iq.computed(iq.Summation("payments", "amount"), Numeric(20, 2))
    mean: Mapped[float] = iq.computed(iq.Average("charges", "units"))
    payments: Mapped[list[Payment]] = relationship(back_populates="holder")
    charges: Mapped[list[Charge]] = relationship(back_populates="holder")


class Payment(LedgerBase):
    __tablename__ = "payment"
    id: Mapped[int] = mapped_column(primary_key=True)
    holder_id: Mapped[int] = mapped_column(ForeignKey("holder.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(20, 2))
    holder: Mapped[Holder] = relationship(back_populates="payments")


class Charge(LedgerBase):
    __tablename__ = "charge"
    id: Mapped[int] = mapped_column(primary_key=True)
    holder_id: Mapped[int] = mapped_column(ForeignKey("holder.id"))
    units: Mapped[Decimal] = mapped_column(Numeric(20, 2))
    holder: Mapped[Holder] = relationship(back_populates="charges")


def test_members_of_two_relationships_change_in_one_flush(make_system: MakeSystem) -> None:
    """What one of them does not change is a plain 0 among the decimals of the other."""
    system = make_system(LedgerBase)
    with system.session_factory.begin() as session:
        session.add_all([Holder(id=n) for n in (1, 2, 3)])
        session.flush()
        session.add_all([Payment(id=1, holder_id=1, amount=Decimal(1)), Charge(id=1, holder_id=2, units=Decimal(5))])
    with system.session_factory.begin() as session:
        payment, charge = session.get_one(Payment, 1), session.get_one(Charge, 1)
        payment.amount, charge.units = Decimal("7.25"), Decimal(8)
    assert_true(system)
    with system.session_factory.begin() as session:
        for gone in (session.get_one(Payment, 1), session.get_one(Charge, 1)):
            session.delete(gone)
    assert_true(system)


def test_a_whole_mean_is_a_float_in_memory_too(make_system: MakeSystem) -> None:
    system = make_system(LedgerBase)
    with system.session_factory.begin() as session:
        holder = Holder(id=1, charges=[Charge(units=Decimal(4)), Charge(units=Decimal(4))])
        session.add(holder)
        session.flush()
        fresh = holder.mean
        session.expire(holder)
        assert (type(fresh), fresh) == (type(holder.mean), holder.mean) == (float, 4.0)


class ScaleBase(DeclarativeBase):
    pass


class Upper(ScaleBase):
    __tablename__ = "upper"
    id: Mapped[int] = mapped_column(primary_key=True)
    high: Mapped[int] = iq.computed(iq.Count("middles", where={"mean": (">", 1.222222222222222)}))
    middles: Mapped[list[Middle]] = relationship()


class Middle(ScaleBase):
    __tablename__ = "middle"
    id: Mapped[int] = mapped_column(primary_key=True)
    upper_id: Mapped[int] = mapped_column(ForeignKey("upper.id"))
    mean: Mapped[float] = iq.computed(iq.Average("lowers", "amount"))
    lowers: Mapped[list[Lower]] = relationship()


class Lower(ScaleBase):
    __tablename__ = "lower"
    id: Mapped[int] = mapped_column(primary_key=True)
    middle_id: Mapped[int] = mapped_column(ForeignKey("middle.id"))
    amount: Mapped[float] = mapped_column(Double)


def test_a_mean_does_not_depend_on_how_many_places_its_sum_shows(make_postgres_system: MakeSystem) -> None:
    """The mean before the change must be the one that was stored: 11/9, to as many places."""
    system = make_postgres_system(ScaleBase)
    with system.session_factory.begin() as session:
        session.add(Upper(id=1, middles=[Middle(id=1)]))
        session.flush()
        session.add_all([Lower(middle_id=1, amount=amount) for amount in [2.0] * 2 + [1.0] * 7])
    with system.session_factory.begin() as session:
        session.add(Lower(middle_id=1, amount=1e-20))
    assert_true(system)
