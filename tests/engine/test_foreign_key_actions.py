"""Rows that a delete or a change of keys takes along, nullifies or gives a default are rows that change.

Whether the database acts or the unit of work: aggregates, values of the same row, derived rows, machines, events and
loaded objects follow; where nothing acts, nothing is pretended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import pytest
from sqlalchemy import ForeignKey, String, delete, inspect, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    configure_mappers,
    mapped_column,
    relationship,
    sessionmaker,
)

import interaqt_sa as iq
from interaqt_sa.session.state import SessionState
from tests.engine.event_oracle import replay, snapshot
from tests.support.engines import EngineFactory
from tests.support.torture import torture_from_environment

ACTIONS = ("CASCADE", "SET NULL", "SET DEFAULT", None)
DATABASES = ("pysqlite", "pysqlite without foreign keys", pytest.param("psycopg", marks=pytest.mark.postgres))

FULL = torture_from_environment().full
HERE, AWAY = iq.StateNode("here"), iq.StateNode("away")
Classes: TypeAlias = dict[str, Any]


def own_id(_: Any, event: iq.MutationEvent) -> Any:
    return event.record["id"]


def old_parent(_: Any, event: iq.MutationEvent) -> Any:
    return event.record["parent_id"] if event.old_record is None else event.old_record["parent_id"]


def machine(trigger: iq.Trigger, target: Callable[..., Any]) -> iq.StateMachine:
    steps = [(HERE, AWAY), (AWAY, HERE)]
    return iq.StateMachine(
        states=[HERE, AWAY],
        initial_state=HERE,
        transfers=[iq.StateTransfer(current=a, next=b, trigger=trigger, compute_target=target) for a, b in steps],
    )


def declare(action: str | None, *, passive_deletes: Any, passive_updates: bool, by_code: bool) -> Classes:
    """Declare parents, children that refer to them, grandchildren, and what is computed from all of them."""

    class Base(DeclarativeBase):
        pass

    class Parent(Base):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        code: Mapped[int] = mapped_column(unique=True)
        children: Mapped[list[Child]] = relationship(
            back_populates="parent", passive_deletes=passive_deletes, passive_updates=passive_updates
        )
        child_count: Mapped[int] = iq.computed(iq.Count("children"))
        worth: Mapped[int] = iq.computed(iq.Summation("children", "worth"))
        twice: Mapped[int] = iq.computed(lambda parent: 2 * parent.worth)
        lost: Mapped[str] = iq.computed(machine(iq.Trigger("Child", "delete"), old_parent), String(8))

    class Shelf(Base):
        __tablename__ = "shelf"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list[Child]] = relationship(back_populates="shelf")
        of_first: Mapped[int] = iq.computed(iq.Count("children", where={"parent_id": 1}))
        parents: Mapped[int] = iq.computed(iq.Summation("children", "parent.id"))

    class Child(Base):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(
            ForeignKey("parent.code" if by_code else "parent.id", ondelete=action, onupdate=action), server_default="3"
        )
        parent: Mapped[Parent | None] = relationship(back_populates="children", passive_updates=passive_updates)
        shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
        shelf: Mapped[Shelf] = relationship(back_populates="children")
        grandchildren: Mapped[list[Grandchild]] = relationship(back_populates="child", passive_deletes=True)
        grandchild_count: Mapped[int] = iq.computed(iq.Count("grandchildren"))
        label: Mapped[str] = iq.computed(lambda child: f"{child.id} of {child.parent_id}")
        worth: Mapped[int] = iq.computed(lambda child: child.id * (child.parent_id or 100))
        moves: Mapped[str] = iq.computed(machine(iq.Trigger("Child", "update", keys=["parent_id"]), own_id), String(8))

    class Grandchild(Base):
        __tablename__ = "grandchild"
        id: Mapped[int] = mapped_column(primary_key=True)
        child_id: Mapped[int | None] = mapped_column(ForeignKey("child.id", ondelete="CASCADE"))
        child: Mapped[Child | None] = relationship(back_populates="grandchildren")

    class Posting(Base):
        __tablename__ = "posting"
        __computation__ = iq.Transform(Child, lambda c: {"text": f"{c.label} {c.moves}", "parent_id": c.parent_id})
        id: Mapped[int] = mapped_column(primary_key=True)
        text: Mapped[str]
        parent_id: Mapped[int | None]

    class Leaf(Base):
        __tablename__ = "leaf"
        __computation__ = iq.Transform(Grandchild, lambda g: {"child": g.child_id})
        id: Mapped[int] = mapped_column(primary_key=True)
        child: Mapped[int | None]

    class Summary(Base):
        __tablename__ = "summary"
        __computation__ = iq.Transform(Parent, lambda p: {"worth": p.twice, "state": p.lost})
        id: Mapped[int] = mapped_column(primary_key=True)
        worth: Mapped[int]
        state: Mapped[str]

    configure_mappers()
    classes = (Base, Parent, Shelf, Child, Grandchild, Posting, Leaf, Summary)
    return {declared.__name__: declared for declared in classes}


class Family:
    """Two parents with children, and a third that defaults refer to."""

    def __init__(self, engine_for: EngineFactory, database: str, classes: Classes) -> None:
        driver, _, without = database.partition(" ")
        self.classes = classes
        self.engine = engine_for(driver)
        self.system = iq.System(self.engine, base=classes["Base"], configure_sqlite=not without)
        self.sessions = sessionmaker(self.engine)
        self.system.attach(self.sessions)
        classes["Base"].metadata.create_all(self.engine)
        with self.sessions.begin() as session:
            session.add_all(classes["Parent"](id=n, code=n) for n in (1, 2, 3))
            session.add_all(classes["Shelf"](id=n) for n in (1, 2))
            session.flush()
            session.add_all(classes["Child"](id=n, parent_id=p, shelf_id=1 + n % 2) for n, p in PARENTS.items())
            session.flush()
            session.add_all(classes["Grandchild"](id=n, child_id=n % 4 + 1) for n in range(1, 9))
        assert not self.system.check().differences

    def close(self) -> None:
        self.classes["Base"].metadata.drop_all(self.engine)
        self.classes["Base"].registry.dispose()

    def write(
        self, work: Callable[[Session, Classes], object], *, collects: bool, pretends: bool = False
    ) -> list[iq.MutationEvent]:
        """Run ``work`` in a transaction, and compare what it leaves and tells with what is stored.

        :param pretends: whether foreign keys in memory may be others than those that are stored.
        """
        named = [mapped for name, mapped in self.classes.items() if name != "Base"]
        before = snapshot(self.engine, named)
        events: list[iq.MutationEvent] = []
        with suppress(IntegrityError, iq.ConstraintViolationError), self.sessions() as session:
            SessionState.of(session).collect_events = collects
            held = [row for mapped in named for row in session.scalars(select(mapped))]
            work(session, self.classes)
            session.flush()
            events = list(SessionState.of(session).transaction.events)
            self._compare_memory(session, held, ["parent_id"] if pretends else [])
            session.commit()
        assert self.system.check().differences == ()
        if collects:
            assert replay(before, events) == snapshot(self.engine, named)
        return events

    @staticmethod
    def _compare_memory(session: Session, held: list[Any], besides: list[str]) -> None:
        with session.no_autoflush:
            for row in held:
                mapped: Any = inspect(row).mapper.class_
                names: list[str] = [p.key for p in inspect(mapped).column_attrs if p.key not in besides]
                columns = [getattr(mapped, name) for name in names]
                stored = session.execute(select(*columns).where(mapped.id == row.id)).first()
                if stored is not None and row in session:
                    assert [getattr(row, name) for name in names] == list(stored)


#: the parent of each child
PARENTS = {1: 1, 2: 1, 3: 2, 4: None}


def delete_object(session: Session, classes: Classes) -> None:
    session.delete(session.get_one(classes["Parent"], 1))


def delete_objects(session: Session, classes: Classes) -> None:
    for key in (1, 2):
        session.delete(session.get_one(classes["Parent"], key))
    session.get_one(classes["Child"], 1).shelf_id = 1


def delete_by_class(session: Session, classes: Classes) -> None:
    session.execute(delete(classes["Parent"]).where(classes["Parent"].id < 3), execution_options=UNSYNCHRONIZED)


def delete_by_table(session: Session, classes: Classes) -> None:
    session.execute(delete(classes["Parent"].__table__).where(classes["Parent"].id == 1))


UNSYNCHRONIZED = {"synchronize_session": False}
DELETES = (delete_object, delete_objects, delete_by_class, delete_by_table, "storage")


def chosen(ways: Sequence[Any], database: str, action: str | None) -> list[tuple[int, Any]]:
    """Return every second way to write, so that over databases and actions all of them meet."""
    first = (len(database) + ACTIONS.index(action)) % 2
    return [(number, way) for number, way in enumerate(ways) if number % 2 == first or FULL]


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("database", DATABASES)
def test_deletes(engine_for: EngineFactory, database: str, action: str | None) -> None:
    for number, work in chosen(DELETES, database, action):
        # over the actions each way of deleting meets each way of the unit of work
        passive: Any = (False, True, "all")[(number + ACTIONS.index(action)) % 3]
        classes = declare(action, passive_deletes=passive, passive_updates=True, by_code=bool(number % 2))
        family = Family(engine_for, database, classes)
        storage = family.system.storage

        def by_name(session: Session, classes: Classes, storage: Any = storage) -> None:
            storage.with_session(session).delete(classes["Parent"], {"id": 1})

        family.write(by_name if isinstance(work, str) else work, collects=number != 1)
        family.close()


def rekey(session: Session, classes: Classes) -> None:
    session.get_one(classes["Parent"], 1).id = 7


def rekey_with_members(session: Session, classes: Classes) -> None:
    parent = session.get_one(classes["Parent"], 1)
    assert len(parent.children) == 2
    parent.id, parent.code = 7, 17


def rekey_beside_other_changes(session: Session, classes: Classes) -> None:
    session.get_one(classes["Parent"], 1).id = 7
    session.get_one(classes["Parent"], 2).code = 12
    session.get_one(classes["Child"], 4).parent_id = 3
    session.get_one(classes["Child"], 2).shelf_id = 2
    session.get_one(classes["Shelf"], 1).children.pop()


def other_code(session: Session, classes: Classes) -> None:
    parent = classes["Parent"]
    session.execute(update(parent).where(parent.id < 3).values(code=parent.code + 20))


def other_code_by_key(session: Session, classes: Classes) -> None:
    session.execute(update(classes["Parent"]), [{"id": 1, "code": 31}, {"id": 2, "code": 32}])


REKEYS = (rekey, rekey_with_members, rekey_beside_other_changes, other_code, other_code_by_key)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("database", DATABASES)
def test_changed_keys(engine_for: EngineFactory, database: str, action: str | None) -> None:
    for number, work in chosen(REKEYS, database, action):
        passive = bool((number + ACTIONS.index(action)) % 2)
        classes = declare(action, passive_deletes=True, passive_updates=passive, by_code=number > 1)
        family = Family(engine_for, database, classes)
        # SQLAlchemy takes for granted that a database follows changed keys
        family.write(work, collects=number != 1, pretends=passive and (action is None or "without" in database))
        family.close()
