"""What RETURNING says of computed values is what a later read gives, although the database returns them before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine, ForeignKey, delete, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship

import interaqt_sa as iq
from tests.declarative.kept import Kept
from tests.statements.boxes import Box, Item
from tests.support.statements import count_statements

ITEMS: Any = Item.__table__
Found = Sequence[tuple[Any, ...]]


def upsert(session: Session, rows: list[dict[str, Any]], *returning: Any) -> Any:
    dialect: Any = {"postgresql": postgresql, "sqlite": sqlite}[session.get_bind().dialect.name]
    statement = dialect.insert(Item)
    changes = {"amount_of": statement.excluded.amount_of}
    return session.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_=changes).returning(*returning), rows
    )


def by_alias(session: Session) -> Found:
    item = aliased(Item)
    return session.execute(update(item).where(item.id == 1).values(amount=8).returning(item.id, item.doubled)).all()


WORKS: dict[str, tuple[Callable[[Session], Any], Found]] = {
    "attributes": (
        lambda s: s.execute(update(Item).where(Item.id < 3).values(amount=5).returning(Item.id, Item.doubled)),
        [(1, 10), (2, 10)],
    ),
    "columns": (
        lambda s: s.execute(update(ITEMS).where(ITEMS.c.id == 1).values(amount_of=6).returning(ITEMS.c.doubled)),
        [(12,)],
    ),
    "a table": (
        lambda s: s.execute(update(ITEMS).where(ITEMS.c.id == 1).values(amount_of=6).returning(ITEMS)),
        [(1, 1, 6, "n1", 12)],
    ),
    "expressions": (
        lambda s: s.execute(
            update(Item).where(Item.id == 1).values(amount=7).returning((Item.doubled + Item.amount).label("sum"))
        ),
        [(21,)],
    ),
    "an alias": (by_alias, [(1, 16)]),
    "an expression as value": (
        lambda s: s.execute(update(Item).values(amount=Item.amount + 1).returning(Item.id, Item.doubled)),
        [(1, 4), (2, 6), (3, 8)],
    ),
    "an object beside it": (
        lambda s: [
            (item.doubled, doubled)
            for item, doubled in s.execute(
                update(Item).where(Item.id == 1).values(amount=9).returning(Item, Item.doubled)
            )
        ],
        [(18, 18)],
    ),
    "scalars": (
        lambda s: [
            (found,) for found in s.scalars(update(Item).where(Item.id == 2).values(amount=4).returning(Item.doubled))
        ],
        [(8,)],
    ),
    "mappings": (
        lambda s: [
            tuple(row.items())
            for row in s.execute(
                update(Item).where(Item.id == 2).values(amount=4).returning(Item.doubled.label("x"))
            ).mappings()
        ],
        [(("x", 8),)],
    ),
    "beside another table": (
        lambda s: s.execute(
            update(Item).where(Item.id == 1, Box.id == Item.box_id).values(amount=3).returning(Item.doubled, Item.id)
        ),
        [(6, 1)],
    ),
    "an upsert": (
        lambda s: upsert(
            s, [{"id": 1, "box_id": 1, "amount": 10}, {"id": 9, "box_id": 2, "amount": 20}], Item.id, Item.doubled
        ),
        [(1, 20), (9, 40)],
    ),
    "an insert": (
        lambda s: s.execute(insert(Item).returning(Item.id, Item.doubled), [{"id": 9, "box_id": 2, "amount": 3}]),
        [(9, 6)],
    ),
    "a delete": (lambda s: s.execute(delete(Item).where(Item.id == 3).returning(Item.doubled)), [(6,)]),
    "nothing": (lambda s: s.execute(update(Item).where(Item.id == 99).values(amount=3).returning(Item.doubled)), []),
}


@pytest.mark.parametrize("name", WORKS)
def test_computed_values_are_those_that_are_stored(boxes: Kept, name: str) -> None:
    work, expected = WORKS[name]
    with boxes.begin() as session:
        assert sorted(tuple(row) for row in work(session)) == sorted(expected)
    boxes.verify()


def test_values_of_the_unit_of_work_are_not_read_again(boxes: Kept) -> None:
    """A statement that returns no computed value costs what it did."""

    def sent(*returning: Any) -> int:
        with boxes.begin() as session, count_statements(boxes.engine) as statements:
            session.execute(update(Item).where(Item.id == 1).values(amount=Item.amount + 1).returning(*returning))
        return len(statements)

    sent(Item.amount)
    assert sent(Item.doubled) == sent(Item.amount) + 1


def test_aggregates_of_a_tree(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Node(Base):
        __tablename__ = "node"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
        weight: Mapped[int] = mapped_column(default=1)
        below: Mapped[list[Node]] = relationship()
        total: Mapped[int] = iq.computed(iq.Summation("below", "weight"))

    kept = Kept(engine, Base)
    with kept.begin() as session:
        session.execute(insert(Node), [{"id": 1}, {"id": 2, "parent_id": 1}, {"id": 3, "parent_id": 1}])
        more = insert(Node).returning(Node.id, Node.total, sort_by_parameter_order=True)
        found = session.execute(more, [{"id": 4}, {"id": 5, "parent_id": 4, "weight": 3}])
        assert [tuple(row) for row in found] == [(4, 3), (5, 0)]
        changed = update(Node).where(Node.id < 4).values(weight=Node.weight + 4).returning(Node.id, Node.total)
        assert sorted(tuple(row) for row in session.execute(changed)) == [(1, 10), (2, 0), (3, 0)]
    kept.verify()


def test_values_in_both_tables_of_joined_inheritance(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Person(Base):
        __tablename__ = "person"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        name: Mapped[str]
        label: Mapped[str] = iq.computed(lambda person: f"<{person.name}>")
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}

    class Boss(Person):
        __tablename__ = "boss"
        id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
        pay: Mapped[int]
        paid: Mapped[str] = iq.computed(lambda boss: f"${boss.pay}")
        __mapper_args__ = {"polymorphic_identity": "boss"}

    kept = Kept(engine, Base)
    with kept.begin() as session:
        rows = [{"name": "x", "pay": 4}, {"name": "y", "pay": 5}]
        both = insert(Boss).returning(Boss.label, Boss.paid, Boss.name, sort_by_parameter_order=True)
        assert [tuple(row) for row in session.execute(both, rows)] == [("<x>", "$4", "x"), ("<y>", "$5", "y")]
        own = update(Boss).where(Boss.pay == 4).values(pay=9).returning(Boss.paid)
        assert session.scalars(own, execution_options={"synchronize_session": False}).all() == ["$9"]
        base = update(Person).where(Person.name == "x").values(name="z").returning(Person.label)
        assert session.scalars(base).all() == ["<z>"]
    kept.verify()
