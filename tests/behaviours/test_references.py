"""Attributes compared with each other: S-A13."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour
from tests.behaviours.people import numbers

_REF = iq.MatchExp.ref


@pytest.fixture
def people(storage: iq.Storage) -> iq.Storage:
    """Return a storage with persons 1 (age 40), 2 (30, boss 1), 3 (50, boss 1), 4 (30, boss 2) and 5 (no age)."""
    for name, age, boss in (("a", 40, None), ("b", 30, 1), ("c", 50, 1), ("d", 30, 2), ("e", None, 1)):
        storage.create("Person", {"name": name, "age": age, "boss": boss and {"id": boss}})
    storage.create("Team", {"name": "d", "members": [{"id": 3}, {"id": 4}]})
    return storage


_MATCHES: list[tuple[Any, list[int]]] = [
    ({"age": ("=", _REF("boss.age"))}, [4]),
    ({"age": ("!=", _REF("boss.age"))}, [2, 3]),
    ({"age": (">", _REF("boss.age"))}, [3]),
    (~iq.MatchExp.atom("age", (">", _REF("boss.age"))), [2, 4]),
    ({"age": (">=", _REF("id"))}, [1, 2, 3, 4]),
    ({"age": ("between", (_REF("id"), _REF("boss.age")))}, [2, 4]),
    ({"age": ("between", (30, _REF("boss.boss.age")))}, [4]),
    ({"boss.age": (">", _REF("age"))}, [2]),
    ({"name": ("like", _REF("name"))}, [1, 2, 3, 4, 5]),
    ({"staff": ("exist", {"age": (">", _REF("age"))})}, [1]),
    ({"staff": ("exist", {"age": ("=", _REF("age"))})}, [2]),
    ({"boss": ("exist", {"staff": ("exist", {"age": (">", _REF("age"))})})}, [2]),
    ({"teams": ("exist", {"name": ("=", _REF("name"))})}, [4]),
    ({"teams": ("exist", {"members": ("exist", {"age": ("<", _REF("boss.age"))})})}, [3]),
    (iq.MatchExp.atom("age", ("=", _REF("boss.age"))).or_({"name": "a"}), [1, 4]),
]


@behaviour("S-A13")
@pytest.mark.parametrize(("match", "expected"), _MATCHES)
def test_an_attribute_is_compared_with_another(people: iq.Storage, match: Any, expected: list[int]) -> None:
    assert numbers(people, "Person", match) == expected
    assert [row["id"] for row in people.update("Person", match, {"gender": "x"})] == expected
    assert numbers(people, "Person", {"gender": "x"}) == expected


@behaviour("S-A13")
@pytest.mark.parametrize(
    ("match", "message"),
    [
        (lambda: {"age": ("=", _REF("staff.age"))}, "leads to many records"),
        (lambda: {"age": ("=", _REF("boss.agee"))}, "Person has no attribute 'agee'"),
        (lambda: {"age": ("=", _REF("name"))}, "cannot be compared with name"),
        (lambda: {"age": ("in", [_REF("id")])}, "no references"),
        (lambda: {"age": ("is null", _REF("id"))}, "no reference"),
        (lambda: {"age": ("=", _REF("boss"))}, "is a relationship"),
        (lambda: {"age": ("=", _REF("boss..age"))}, "not an attribute or a dotted path"),
    ],
)
def test_references_that_cannot_be(people: iq.Storage, match: Any, message: str) -> None:
    with pytest.raises(iq.DefinitionFault, match=message):
        people.find("Person", match())


@behaviour("S-A13")
def test_references_are_for_queries() -> None:
    late = iq.Count("staff", where={"age": (">", _REF("id"))})
    person = iq.Entity("Person", [iq.Property("age", int), iq.Property("late", int, computation=late)])
    boss = iq.Relation(source=person, source_property="boss", target=person, target_property="staff", type="n:1")
    controller = iq.Controller(iq.System(create_engine("sqlite://")), entities=[person], relations=[boss])
    with pytest.raises(iq.DefinitionError) as caught:
        controller.setup(install=True)
    assert "references to other attributes are for queries" in str(caught.value)


@behaviour("S-A13")
def test_numbers_of_all_kinds_are_compared(engine: Engine) -> None:
    item = iq.Entity("Item", [iq.Property("count", int), iq.Property("limit", "number"), iq.Property("price", Decimal)])
    controller = iq.Controller(iq.System(engine), entities=[item])
    controller.setup(install=True)
    storage = controller.system.storage
    for count, limit, price in ((1, 1.5, Decimal(2)), (2, 1.5, Decimal("1.5")), (3, 3.0, Decimal(3))):
        storage.create("Item", {"count": count, "limit": limit, "price": price})
    assert numbers(storage, "Item", {"count": ("<", _REF("limit"))}) == [1]
    assert numbers(storage, "Item", {"limit": ("=", _REF("count"))}) == [3]
    assert numbers(storage, "Item", {"price": (">", _REF("limit"))}) == [1]
