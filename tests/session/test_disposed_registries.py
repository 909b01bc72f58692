"""Classes whose mapping is undone while a system follows their tables."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from sqlalchemy import Engine, delete, insert, select, text, update
from sqlalchemy.orm import registry, relationship, sessionmaker

import interaqt_sa as iq
from tests.session.cupboard import Cupboard


class Imperative:
    """The tables of a cupboard, mapped by classes and registries of their own."""

    def __init__(self, cupboard: Cupboard) -> None:
        class Box:
            size: int
            items: list[Any]

        class Item:
            pass

        self.registry = registry(metadata=cupboard.Base.metadata)
        self.Box, self.Item = Box, Item
        ways: dict[str, Any] = {
            "items": relationship(Item),
            "labels": relationship(lambda: Label, secondary=cupboard.links),
        }
        self.registry.map_imperatively(Box, cupboard.box, properties=ways)

        class Label:
            pass

        self.registry.map_imperatively(Item, cupboard.item)
        self.registry.map_imperatively(Label, cupboard.Base.metadata.tables["label"])
        self.Label = Label


@pytest.mark.parametrize("is_collected", [False, True])
def test_tables_that_are_mapped_again(engine: Engine, is_collected: bool) -> None:
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    system = iq.System(sessions, base=cupboard.Base)
    with sessions.begin() as session:
        session.add(cupboard.Box(id=1, items=[cupboard.Item()]))
    cupboard.Base.registry.dispose()
    if is_collected:
        gc.collect()
    again = Imperative(cupboard)
    with sessions.begin() as session:
        box = session.get_one(again.Box, 1)
        box.items.append(again.Item())
        session.flush()
        assert box.size == 2
        session.execute(insert(cupboard.item), [{"box_id": 1}])
        assert box.size == 3
    assert system.check().ok


def test_between_two_mappings(engine: Engine) -> None:
    """Statements run; what nothing is known of any more is not followed, and not said to be true."""
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    iq.System(sessions, base=cupboard.Base, unattached="allow")
    with sessions.begin() as session:
        session.add(cupboard.Box(id=1, items=[cupboard.Item()]))
    pending = sessions()
    pending.add(cupboard.Item(box_id=1))
    cupboard.Base.registry.dispose()
    pending.close()
    with sessions.begin() as session:
        session.execute(text("SELECT 1"))
    with engine.begin() as connection:
        connection.execute(insert(cupboard.Base.metadata.tables["note"]).values(id=1))
    again = Imperative(cupboard)
    with sessions.begin() as session:
        box = session.get_one(again.Box, 1)
        box.items.append(again.Item())
        session.flush()
        assert session.get_one(again.Box, 1).size == 2


@pytest.mark.parametrize("statement", ["insert", "update", "delete"])
def test_core_statements_before_mapping_again(engine: Engine, statement: str) -> None:
    """What is compiled still holds for the tables: values follow, as there is no mapper to ask."""
    cupboard = Cupboard()
    cupboard.Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)
    iq.System(sessions, base=cupboard.Base)
    with sessions.begin() as session:
        session.add_all([cupboard.Box(id=1, items=[cupboard.Item(id=1)]), cupboard.Box(id=2)])
    cupboard.Base.registry.dispose()
    item, box = cupboard.item, cupboard.box
    run, expected = {
        "insert": (insert(item).values(id=2, box_id=1), [2, 0]),
        "update": (update(item).values(box_id=2), [0, 1]),
        "delete": (delete(item), [0, 0]),
    }[statement]
    with sessions.begin() as session:
        session.execute(run)
        assert session.scalars(select(box.c.size).order_by(box.c.id)).all() == expected
