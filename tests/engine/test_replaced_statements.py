"""Listeners of an engine replace statements on their way: what is written is followed or refused, never lost."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Delete, Engine, Insert, Select, Update, UpdateBase, delete, event, insert, update
from sqlalchemy.orm import Session

import interaqt_sa as iq
from tests.declarative.kept import Kept
from tests.engine.listened import Audit, Item, Order, fill, hooked

ITEM: Any = Item.__table__
ORDER: Any = Order.__table__

Replace = Callable[[Any, Any, Any], Any]


@pytest.fixture
def kept(engine: Engine) -> Kept:
    return fill(engine)


@contextmanager
def replacing(target: Any, name: str, replace: Callable[..., Any]) -> Generator[None]:
    event.listen(target, name, replace, retval=True)
    try:
        yield
    finally:
        event.remove(target, name, replace)


def on_execute(replace: Replace) -> Callable[..., Any]:
    def listener(connection: Connection, element: Any, many: Any, one: Any, options: Any) -> Any:
        if not isinstance(element, UpdateBase | Select):  # savepoints have no options and no prefixes
            return element, many, one
        return replace(element, many, one)

    return listener


# listeners of a connection come before those of its engine

# -- work


def flushes(session: Session) -> None:
    session.add(Item(id=50, order_id=1, amount=5))
    session.get_one(Item, 1).amount = 11
    session.delete(session.get_one(Item, 2))


def moves(session: Session) -> None:
    session.get_one(Item, 1).order_id = 2


def executes(session: Session) -> None:
    session.execute(update(Item).where(Item.id == 1).values(amount=20))
    session.execute(insert(Item).values(id=60, order_id=2, amount=6))
    session.execute(insert(Item), [{"id": 61, "order_id": 2, "amount": 6}, {"id": 62, "order_id": 1}])
    session.execute(update(Item), [{"id": 60, "amount": 7}, {"id": 61, "amount": 8}])


def runs_in_an_event(session: Session) -> None:
    def hook(connection: Connection, _: Any) -> None:
        connection.execute(update(ITEM).where(ITEM.c.id == 3).values(amount=33))
        connection.execute(insert(ITEM).values(id=970, order_id=2, amount=6))

    with hooked(Audit, "before_insert", hook):
        session.add(Audit(id=1, text="x"))
        session.flush()


WORKS = [flushes, moves, executes, runs_in_an_event]

# -- what does no harm


def with_prefix(element: Any, many: Any, one: Any) -> Any:
    return (element.prefix_with("/* here */") if hasattr(element, "prefix_with") else element), many, one


def with_option(element: Any, many: Any, one: Any) -> Any:
    return element.execution_options(here=True), many, one


def other_amounts(element: Any, many: Any, one: Any) -> Any:
    def other(row: Any) -> Any:
        return {**row, "amount": row["amount"] + 100} if isinstance(row.get("amount"), int) else row

    return element, [other(row) for row in many], other(one) if one else one


def more_in_an_insert(element: Any, many: Any, one: Any) -> Any:
    if isinstance(element, Insert) and element.table.name == "item":
        element = element.values(note="new", product_id=2)
    return element, many, one


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
@pytest.mark.parametrize("place", ["after", "connection"])
@pytest.mark.parametrize(
    "replace", [with_prefix, with_option, other_amounts, more_in_an_insert], ids=lambda replace: replace.__name__
)
def test_followed(kept: Kept, replace: Replace, place: str, work: Callable[[Session], None]) -> None:
    with kept.begin() as session:
        target = session.connection() if place == "connection" else kept.engine
        with replacing(target, "before_execute", on_execute(replace)):
            work(session)
            session.flush()
    kept.verify()


def comment(_: Connection, __: Any, text: str, parameters: Any, *___: Any) -> Any:
    return f"{text} /* here */", parameters


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_comments(kept: Kept, work: Callable[[Session], None]) -> None:
    with replacing(kept.engine, "before_cursor_execute", comment), kept.begin() as session:
        work(session)
    kept.verify()


# -- what does


def other_column(element: Any, many: Any, one: Any) -> Any:
    if isinstance(element, Update) and element.table.name == "item":
        element = element.values(order_id=2)
    return element, many, one


def all_rows(element: Any, many: Any, one: Any) -> Any:
    if isinstance(element, Update) and element.table.name == "item":
        return update(ITEM).values(amount=90), [], {}
    return element, many, one


def other_region(element: Any, many: Any, one: Any) -> Any:
    if isinstance(element, Update) and element.table.name == "order_":
        element = element.values(region_id=2)
    return element, many, one


def other_table(element: Any, many: Any, one: Any) -> Any:
    if isinstance(element, Insert) and element.table.name == "audit":
        return update(ITEM).values(amount=91), [], {}
    return element, many, one


def soft_delete(element: Any, many: Any, one: Any) -> Any:
    if isinstance(element, Delete) and element.table.name == "item":
        return update(ITEM).where(*element._where_criteria).values(note="gone"), many, one
    return element, many, one


def fewer_rows_read(element: Any, many: Any, one: Any) -> Any:
    if isinstance(element, Select) and ITEM in element.get_final_froms():
        element = element.where(ITEM.c.id > 1)
    return element, many, one


def deletes(session: Session) -> None:
    session.execute(delete(Item).where(Item.id == 2))


def notes(session: Session) -> None:
    session.add(Audit(id=1, text="x"))


def reads(session: Session) -> None:
    session.get_one(Item, 1).amount = 40


REFUSED: list[tuple[Replace, Callable[[Session], None]]] = [
    (other_column, executes),
    (other_column, runs_in_an_event),
    (all_rows, executes),
    (all_rows, flushes),
    (all_rows, runs_in_an_event),
    (other_table, notes),
    (soft_delete, deletes),
]


@pytest.mark.parametrize(
    ("replace", "work"), REFUSED, ids=[f"{replace.__name__}-{work.__name__}" for replace, work in REFUSED]
)
def test_refused(kept: Kept, replace: Replace, work: Callable[[Session], None]) -> None:
    with kept.sessions() as session, replacing(kept.engine, "before_execute", on_execute(replace)):
        with session.no_autoflush, pytest.raises(iq.UnmanagedWriteError, match="has replaced"):
            _work_and_flush(work, session)
        session.rollback()
    kept.verify()


def _work_and_flush(work: Callable[[Session], None], session: Session) -> None:
    work(session)
    session.flush()


@pytest.mark.parametrize("place", ["after", "connection"])
@pytest.mark.parametrize("work", [flushes, executes, runs_in_an_event], ids=lambda work: work.__name__)
def test_statements_of_the_engine_are_not_narrowed(kept: Kept, work: Callable[[Session], None], place: str) -> None:
    with kept.sessions() as session:
        loaded = [session.get_one(Item, n) for n in (1, 2, 3)]
        target = session.connection() if place == "connection" else kept.engine
        with replacing(target, "before_execute", on_execute(fewer_rows_read)):
            with pytest.raises(iq.UnmanagedWriteError, match="has replaced"):
                _work_and_flush(work, session)
            session.rollback()
        assert len(loaded) == 3
    kept.verify()


@pytest.mark.parametrize("place", ["after", "connection"])
def test_more_columns_of_the_unit_of_work(kept: Kept, place: str) -> None:
    """What a listener before the engine's own writes besides is followed; after it, refused."""
    with kept.sessions() as session:
        session.get_one(Order, 1).note = "x"
        target = session.connection() if place == "connection" else kept.engine
        with replacing(target, "before_execute", on_execute(other_region)):
            if place == "after":
                with pytest.raises(iq.UnmanagedWriteError, match="has replaced"):
                    session.flush()
                session.rollback()
            else:
                session.flush()
        session.commit()
    kept.verify()


@pytest.mark.parametrize("replace", [all_rows, other_table], ids=lambda replace: replace.__name__)
def test_what_comes_before_the_engine_is_what_is_followed(kept: Kept, replace: Replace) -> None:
    with kept.sessions() as session:
        with replacing(session.connection(), "before_execute", on_execute(replace)):
            session.add(Audit(id=1, text="x"))
            if replace is all_rows:
                session.execute(update(ORDER).where(ORDER.c.id == 1).values(note="y"))
            session.flush()
        session.commit()
    kept.verify()


@pytest.mark.parametrize("work", [flushes, executes], ids=lambda work: work.__name__)
def test_another_text(kept: Kept, work: Callable[[Session], None]) -> None:
    def changes(_: Connection, __: Any, text: str, parameters: Any, *___: Any) -> Any:
        return text.replace("SET amount=", "SET note='x', amount="), parameters

    with kept.sessions() as session, replacing(kept.engine, "before_cursor_execute", changes):
        with pytest.raises(iq.UnmanagedWriteError, match="has replaced"):
            _work_and_flush(work, session)
        session.rollback()
    kept.verify()


def test_as_the_system_was_told(engine: Engine) -> None:
    kept = fill(engine)
    kept.system.detach(kept.sessions)
    system = iq.System(kept.sessions, base=Item.registry.metadata, unmanaged_dml="warn")
    with replacing(engine, "before_execute", on_execute(other_region)), kept.sessions() as session:
        session.get_one(Order, 1).note = "x"
        with pytest.warns(UserWarning, match="has replaced"):
            session.flush()
        session.commit()
    system.repair()
    kept.verify()
