"""Code that mapper events run changes objects, sessions and savepoints: what is written is followed all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, delete, event, insert, literal_column, update
from sqlalchemy.exc import IntegrityError, SAWarning
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import interaqt_sa as iq
from tests.declarative.kept import Kept
from tests.engine.listened import Audit, Hook, Item, Order, Region, fill, hooked, session_of, told

ITEM: Any = Item.__table__


@pytest.fixture
def kept(engine: Engine) -> Kept:
    return fill(engine)


def insert_one(session: Session) -> None:
    session.add(Item(id=50, order_id=1, amount=5, product_id=1))


def update_one(session: Session) -> None:
    session.get_one(Item, 1).amount = 11


def move_one(session: Session) -> None:
    item = session.get_one(Item, 1)
    item.order_id, item.amount = 2, 12


def delete_one(session: Session) -> None:
    session.delete(session.get_one(Item, 2))


def expires(_: Connection, item: Any) -> None:
    session_of(item).expire(item)


def expires_all(_: Connection, item: Any) -> None:
    session_of(item).expire_all()


def refreshes(_: Connection, item: Any) -> None:
    session_of(item).refresh(item)


def expunges(_: Connection, item: Any) -> None:
    session_of(item).expunge(item)


def changes_memory(_: Connection, item: Any) -> None:
    item.amount, item.order_id, item.product_id = 99, 2, 2


def moves_by_expression(_: Connection, item: Any) -> None:
    item.order_id = literal_column("2")


def sets_the_value(_: Connection, item: Any) -> None:
    item.doubled = 777


OBJECTS: list[tuple[str, Hook, Callable[[Session], None]]] = [
    ("after_insert", expires_all, insert_one),
    ("after_update", expires, move_one),
    ("after_update", expires_all, move_one),
    ("after_update", refreshes, move_one),
    ("before_insert", expunges, insert_one),
    ("after_insert", expunges, insert_one),
    ("after_update", expunges, move_one),
    ("after_delete", expunges, delete_one),
    ("after_insert", changes_memory, insert_one),
    ("after_update", changes_memory, update_one),
    ("before_insert", changes_memory, insert_one),
    ("before_update", changes_memory, update_one),
    ("before_insert", moves_by_expression, insert_one),
    ("before_update", moves_by_expression, update_one),
    ("before_insert", sets_the_value, insert_one),
    ("before_update", sets_the_value, update_one),
]


@pytest.mark.filterwarnings("ignore:Attribute history events", "ignore:Usage of the")
@pytest.mark.parametrize(
    ("name", "hook", "work"), OBJECTS, ids=[f"{name}-{hook.__name__}" for name, hook, _ in OBJECTS]
)
def test_objects(kept: Kept, name: str, hook: Hook, work: Callable[[Session], None]) -> None:
    with hooked(Item, name, hook):
        told(kept, work)


def changes_items(_: Connection, order: Any) -> None:
    for item in session_of(order).new:
        if isinstance(item, Item):
            item.amount, item.product_id = 40, 2


@pytest.mark.parametrize("name", ["before_insert", "after_insert", "before_update", "after_update"])
def test_events_of_one_class_change_objects_of_another(kept: Kept, name: str) -> None:
    def work(session: Session) -> None:
        if "insert" in name:
            session.add(Order(id=9))
        else:
            session.get_one(Order, 1).note = "x"
        session.add_all([Item(id=60, order_id=2, amount=3, product_id=1), Item(id=61, order_id=1, amount=4)])

    with hooked(Order, name, changes_items):
        told(kept, work)


@pytest.mark.filterwarnings("ignore:Usage of the")
@pytest.mark.parametrize("name", ["before_insert", "after_insert"])
def test_objects_that_are_added_wait_for_the_next_flush(kept: Kept, name: str) -> None:
    def adds(_: Connection, item: Any) -> None:
        session_of(item).add(Item(id=950, order_id=2, amount=3))

    def work(session: Session) -> None:
        insert_one(session)
        session.flush()
        session.flush()

    with hooked(Item, name, adds):
        told(kept, work)


# -- computed attributes


@pytest.mark.parametrize(
    ("mapped", "name"), [(Order, "before_insert"), (Order, "before_update"), (Region, "before_insert")]
)
def test_aggregates_that_events_assign_are_refused(kept: Kept, mapped: type[Any], name: str) -> None:
    def assigns(_: Connection, instance: Any) -> None:
        order = instance if mapped is Order else instance.orders[0]
        order.total = 77

    with hooked(mapped, name, assigns), kept.sessions() as session:
        if name == "before_insert":
            session.add(Region(id=8, orders=[Order(id=9)]))
        else:
            session.get_one(Order, 1).note = "x"
        with pytest.raises(iq.ComputedWriteError, match=r"Order\.total is computed"):
            session.flush()
        session.rollback()
    kept.verify()


def test_a_validator_that_makes_another_value_of_it(kept: Kept) -> None:
    def validates(item: Any, value: int, *_: Any) -> int:
        return value + 1

    event.listen(Item.doubled, "set", validates, retval=True)
    try:
        told(kept, insert_one)
        told(kept, update_one)
    finally:
        event.remove(Item.doubled, "set", validates)


def test_a_function_that_fails_leaves_no_value_in_other_objects(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Box(Base):
        __tablename__ = "box"
        id: Mapped[int] = mapped_column(primary_key=True)
        weight: Mapped[int]
        inverse: Mapped[int] = iq.computed(lambda box: 100 // box.weight)

    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.add(Box(id=1, weight=2))
    with kept.begin() as session:
        changed, good, bad = session.get_one(Box, 1), Box(id=2, weight=4), Box(id=3, weight=0)
        changed.weight = 5
        session.add_all([good, bad])
        for _ in range(2):
            with pytest.raises(iq.ComputationError):
                session.flush()
        bad.weight = good.weight = 10
        changed.weight = 20
        session.flush()
        assert [box.inverse for box in (changed, good, bad)] == [5, 10, 10]
    kept.verify()


# -- bulk operations and options


def test_bulk_operations_are_refused(kept: Kept) -> None:
    def inserts(session: Session) -> None:
        session.bulk_insert_mappings(Item, [{"id": 950, "order_id": 2}])  # type: ignore[arg-type]

    def updates(session: Session) -> None:
        session.bulk_update_mappings(Item, [{"id": 1, "amount": 9}])  # type: ignore[arg-type]

    def saves(session: Session) -> None:
        session.bulk_save_objects([Item(id=950, order_id=2)])

    for work in (inserts, updates, saves):
        for name in ("before_insert", "after_insert"):
            with hooked(Item, name, lambda _, item, work=work: work(session_of(item))), kept.sessions() as session:
                insert_one(session)
                with pytest.raises(iq.UnmanagedWriteError, match="bypasses the session"):
                    session.flush()
                session.rollback()
    kept.verify()


def test_the_flush_goes_on_after_a_bulk_operation_of_other_rows(kept: Kept) -> None:
    def saves(_: Connection, item: Any) -> None:
        session_of(item).bulk_insert_mappings(Audit, [{"text": f"item {item.id}"}])  # type: ignore[arg-type]

    def work(session: Session) -> None:
        session.add_all([Item(id=50, order_id=1), Item(id=51, order_id=2)])
        session.get_one(Item, 1).amount = 9
        session.delete(session.get_one(Item, 2))

    with hooked(Item, "after_insert", saves):
        told(kept, work)


def test_statements_with_a_cache_of_their_own(kept: Kept) -> None:
    def writes(connection: Connection, item: Any) -> None:
        options: Any = {"compiled_cache": {}}
        connection.execute(update(ITEM).where(ITEM.c.id == 3).values(amount=70), execution_options=options)
        connection.execution_options(**options).execute(insert(ITEM).values(id=950, order_id=2, amount=4))

    with hooked(Item, "before_update", writes):
        told(kept, update_one)


def test_events_of_rows_from_which_nothing_is_computed(kept: Kept) -> None:
    def writes(connection: Connection, audit: Any) -> None:
        connection.execute(update(ITEM).values(amount=ITEM.c.amount + 10))
        session_of(audit).execute(update(Item).where(Item.id == 2).values(amount=4))
        connection.execute(delete(ITEM).where(ITEM.c.id == 1))

    with hooked(Audit, "after_insert", writes):
        told(kept, lambda session: session.add(Audit(id=1, text="x")))


# -- savepoints and errors


def write_all(connection: Connection) -> None:
    connection.execute(insert(ITEM).values(id=902, order_id=2, amount=30))
    connection.execute(update(ITEM).where(ITEM.c.id == 1).values(amount=4, order_id=2))
    connection.execute(delete(ITEM).where(ITEM.c.id == 2))


@pytest.mark.parametrize("name", ["before_insert", "after_insert"])
@pytest.mark.parametrize("ends", ["rollback", "commit"])
@pytest.mark.parametrize("of_session", [True, False], ids=["session", "connection"])
def test_savepoints(kept: Kept, name: str, ends: str, of_session: bool) -> None:
    def nests(connection: Connection, item: Any) -> None:
        nested: Any = session_of(item).begin_nested() if of_session else connection.begin_nested()
        write_all(connection)
        if of_session:
            session_of(item).execute(update(Item).where(Item.id == 3).values(amount=31))
        getattr(nested, ends)()

    with hooked(Item, name, nests):
        told(kept, insert_one)


def test_an_error_that_the_event_swallows(kept: Kept) -> None:
    def writes(connection: Connection) -> None:
        with connection.begin_nested():
            connection.execute(update(ITEM).where(ITEM.c.id == 1).values(amount=44))
            connection.execute(insert(ITEM).values(id=2, order_id=2, amount=3))

    def fails(connection: Connection, _: Any) -> None:
        with pytest.raises(IntegrityError):
            writes(connection)

    with hooked(Item, "after_insert", fails):
        told(kept, insert_one)


def test_an_event_that_fails_half_way(kept: Kept) -> None:
    def fails(connection: Connection, item: Any) -> None:
        connection.execute(update(ITEM).where(ITEM.c.id == 1).values(amount=44))
        if item.id == 51:
            raise ValueError("stop")

    with hooked(Item, "after_insert", fails), kept.begin() as session:
        order = session.get_one(Order, 1)
        nested = session.begin_nested()
        session.add(Item(id=50, order_id=1))
        session.flush()
        session.add(Item(id=51, order_id=1))
        with pytest.raises(ValueError, match="stop"):
            session.flush()
        nested.rollback()
        assert (order.count, order.total) == (2, 6)
        session.add(Item(id=53, order_id=1))
    kept.verify()


@pytest.mark.parametrize("name", ["after_insert", "before_update"])
def test_a_row_that_is_deleted_and_comes_again(kept: Kept, name: str) -> None:
    def replaces(connection: Connection, _: Any) -> None:
        connection.execute(delete(ITEM).where(ITEM.c.id == 2))
        connection.execute(insert(ITEM).values(id=2, order_id=2, amount=30))
        connection.execute(insert(ITEM).values(id=902, order_id=2, amount=5))
        connection.execute(delete(ITEM).where(ITEM.c.id == 902))

    with hooked(Item, name, replaces):
        told(kept, insert_one if name == "after_insert" else update_one)


# -- flushes of some objects


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_a_flush_of_some_objects(kept: Kept) -> None:
    def work(session: Session) -> None:
        first, second = Item(id=50, order_id=1), Item(id=51, order_id=2, amount=7)
        changed, moved, gone = (session.get_one(Item, n) for n in (1, 2, 3))
        session.add_all([first, second])
        with session.no_autoflush:
            changed.amount, moved.order_id = 20, 2
            session.delete(gone)
            session.flush([first])
            session.flush([changed])
            second.amount = changed.amount = 8
            session.flush([second, gone])
            moved.amount = 30

    told(kept, work)


def test_warnings_are_sqlalchemys_own(kept: Kept) -> None:
    """What listeners do to objects that the flush does not write is lost, and SQLAlchemy says so."""

    def changes(_: Connection, item: Any) -> None:
        session_of(item).get_one(Item, 3).amount = 90

    with hooked(Item, "after_insert", changes), kept.begin() as session:
        held = session.get_one(Item, 3)
        insert_one(session)
        with pytest.warns(SAWarning, match="have been reset"):
            session.flush()
        assert held.amount == 90
    kept.verify()
