"""How many statements a write costs beside its own; the text of each is constant, so a count says it all."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, Integer, Numeric, delete, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import interaqt_sa as iq
from interaqt_sa.engine.capture import session_listeners as keeper
from tests.engine.conftest import MakeSystem
from tests.engine.schedules import assert_true, engine_of
from tests.support.statements import count_at_the_driver, count_statements


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    spent: Mapped[Decimal] = iq.computed(iq.Summation("orders", "total"), Numeric(14, 2))
    orders: Mapped[list[Order]] = relationship(back_populates="customer")


class Order(Base):
    __tablename__ = "order_"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    item_count: Mapped[int] = iq.computed(iq.Count("items"))
    total: Mapped[Decimal] = iq.computed(iq.Summation("items", "amount"), Numeric(14, 2))
    all_done: Mapped[bool] = iq.computed(iq.Every("items", expression={"done": True}))
    note: Mapped[str | None]
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list[Item]] = relationship(back_populates="order")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("order_.id"))
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2), default=Decimal(1))
    done: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str | None]
    order: Mapped[Order] = relationship(back_populates="items")


class Diary(Base):
    """Nothing is computed from it."""

    __tablename__ = "diary"
    id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[int] = mapped_column(Integer)


@pytest.fixture
def system(make_postgres_system: MakeSystem) -> iq.System:
    """Return a system over three orders of two customers, with two items in each."""
    system = make_postgres_system(Base)
    with system.session_factory.begin() as session:
        session.add_all([Customer(id=1), Customer(id=2), Diary(day=1)])
        session.flush()
        session.add_all([Order(id=n, customer_id=1 + n // 3) for n in (1, 2, 3)])
        session.flush()
        session.add_all([Item(order_id=(n + 1) // 2, amount=Decimal(n)) for n in range(1, 7)])
    return system


def sent(system: iq.System, write: Callable[[Session], object]) -> list[str]:
    """Return how each statement of a flush, or of a statement of the session, begins."""
    with system.session_factory() as session:
        objects: list[Any] = [*session.scalars(select(Item)), *session.scalars(select(Order))]
        objects += session.scalars(select(Diary)).all()
        with count_statements(engine_of(system)) as statements:
            write(session)
            session.flush()
        session.commit()
    assert_true(system)
    return [_short(statement) for statement in statements]


def _short(statement: str) -> str:
    words = statement.split()
    if words[0] == "SELECT":
        lock = statement.rpartition(" FOR ")[2].partition(" OF ")[0] if " FOR " in statement else ""
        return f"SELECT {words[words.index('FROM') + 1]} {lock}".strip()
    place = {"INSERT": 2, "DELETE": 2, "UPDATE": 1}.get(words[0]) or words.index("(UPDATE") + 1
    return f"{words[0]} {words[place]}"


LEVELS = ["UPDATE order_", "UPDATE customer"]


def item(session: Session, key: int) -> Item:
    return session.get_one(Item, key)


def test_a_new_row_costs_one_statement_for_each_level(system: iq.System) -> None:
    statements = sent(system, lambda s: s.add(Item(order_id=1, amount=Decimal("2.50"))))
    assert statements == ["INSERT item", *LEVELS]


@pytest.mark.parametrize("rows", [1, 1000])
def test_where_nobody_listens_the_levels_are_one_statement(system: iq.System, rows: int) -> None:
    with count_at_the_driver(engine_of(system)) as statements, system.session_factory.begin() as session:
        session.add_all([Item(order_id=1, amount=Decimal(2)) for _ in range(rows)])
    assert [_short(statement) for statement in statements] == ["INSERT item", "WITH order_"]
    assert_true(system)


def test_a_thousand_new_rows_cost_the_same(system: iq.System) -> None:
    statements = sent(system, lambda s: s.add_all([Item(order_id=1, amount=Decimal(n)) for n in range(1000)]))
    assert statements == ["INSERT item", *LEVELS]


def test_a_new_row_of_no_amount_ends_at_the_first_level(system: iq.System) -> None:
    assert sent(system, lambda s: s.add(Item(order_id=1, amount=Decimal(0)))) == ["INSERT item", "UPDATE order_"]


def test_an_update_locks_its_row_first(system: iq.System) -> None:
    statements = sent(system, lambda s: setattr(item(s, 1), "amount", Decimal(50)))
    assert statements == ["SELECT item NO KEY UPDATE", "UPDATE item", *LEVELS]


def test_a_change_that_no_sum_feels_ends_there(system: iq.System) -> None:
    statements = sent(system, lambda s: setattr(item(s, 1), "done", True))
    assert statements[:2] == ["SELECT item NO KEY UPDATE", "UPDATE item"]
    assert "UPDATE customer" not in statements


def test_a_delete_locks_its_row_first(system: iq.System) -> None:
    statements = sent(system, lambda s: s.delete(item(s, 1)))
    assert statements == ["SELECT item UPDATE", "DELETE item", *LEVELS]


def test_a_row_that_changes_its_host_needs_no_lock_for_two(system: iq.System) -> None:
    statements = sent(system, lambda s: setattr(item(s, 1), "order_id", 2))
    assert statements == [
        "SELECT item NO KEY UPDATE",
        "UPDATE item",
        "WITH order_",
    ]  # one customer: nothing changes there
    statements = sent(system, lambda s: setattr(item(s, 1), "order_id", 3))
    assert statements == ["SELECT item NO KEY UPDATE", "UPDATE item", "WITH order_", "WITH customer"]


def test_three_hosts_are_locked_by_one_statement(system: iq.System) -> None:
    statements = sent(system, lambda s: s.add_all([Item(order_id=n) for n in (1, 2, 3)]))
    assert statements == ["INSERT item", "SELECT order_ NO KEY UPDATE", "UPDATE order_", "WITH customer"]


def test_values_that_were_there_already_cost_nothing(system: iq.System) -> None:
    def assign(session: Session) -> None:
        found = item(session, 1)
        found.amount, found.order_id, found.order = found.amount, found.order_id, found.order

    assert sent(system, assign) == []
    assert sent(system, lambda s: s.merge(Item(id=1, order_id=1, amount=Decimal(1), done=False))) == []


def test_irrelevant_columns_cost_nothing(system: iq.System) -> None:
    assert sent(system, lambda s: setattr(item(s, 1), "note", "x")) == ["UPDATE item"]
    assert sent(system, lambda s: setattr(s.get_one(Order, 1), "note", "x")) == ["UPDATE order_"]


def test_bulk_statements_cost_the_same_for_any_number_of_rows(system: iq.System) -> None:
    rows = [{"order_id": 1, "amount": n} for n in range(500)]
    assert sent(system, lambda s: s.execute(insert(Item), rows)) == ["INSERT item", *LEVELS]
    change = update(Item).where(Item.order_id == 1).values(amount=Item.amount + 1)
    change = change.execution_options(synchronize_session=False)
    locks = ["SELECT item NO KEY UPDATE"] * 2  # which rows match; what they contribute
    assert sent(system, lambda s: s.execute(change)) == [*locks, "UPDATE item", *LEVELS]
    gone = delete(Item).where(Item.order_id == 1).execution_options(synchronize_session=False)
    assert sent(system, lambda s: s.execute(gone)) == ["SELECT item UPDATE"] * 2 + ["DELETE item", *LEVELS]


def test_sessions_that_touch_nothing_managed_pay_nothing(system: iq.System, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(keeper.Flush, "before", made.append)
    monkeypatch.setattr(keeper, "run_dml", lambda *args: made.append(args))
    assert sent(system, lambda s: s.add(Diary(day=2))) == ["INSERT diary"]
    assert sent(system, lambda s: setattr(s.get_one(Diary, 1), "day", 3)) == ["UPDATE diary"]
    assert sent(system, lambda s: s.delete(s.get_one(Diary, 1))) == ["DELETE diary"]
    assert sent(system, lambda s: s.execute(insert(Diary), [{"day": 9}])) == ["INSERT diary"]
    assert sent(system, lambda s: s.execute(select(Item.id)).all()) == ["SELECT item"]
    assert not made


def test_loaded_hosts_are_fresh_without_a_statement(engine: Engine) -> None:
    system = iq.System(engine, base=Base)
    Base.metadata.create_all(engine)
    with system.session_factory() as session:
        order = Order(id=1, customer=Customer(id=1), items=[Item(id=1, amount=Decimal(2)), Item(id=2)])
        session.add(order)
        session.flush()
        order.items[0].amount = Decimal(5)
        session.flush()
        with count_statements(engine) as statements:
            assert (order.item_count, order.total, order.all_done) == (2, 6, False)
            assert order.customer.spent == 6
        assert not statements


def test_an_update_of_what_nobody_reads_fetches_no_keys(system: iq.System) -> None:
    with system.session_factory.begin() as session, count_statements(engine_of(system)) as statements:
        result: Any = session.execute(update(Order).where(Order.id > 1).values(note="late"))
        assert result.rowcount == 2
    assert [statement.split()[0] for statement in statements] == ["SELECT", "UPDATE"]
    assert statements[0].startswith("SELECT count(*)")
    assert "FOR NO KEY UPDATE" in statements[0]
    assert_true(system)
