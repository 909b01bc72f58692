"""Numbers of compiled records, of derived rows and of dispatches: R-S4, R-S12."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

import interaqt_sa as iq
from tests.behaviours.numbers import behaviour

_SHIP = iq.Entity("ShipOrder", [iq.Property("shop", int), iq.Property("count", int)])
_ENTITIES = [
    iq.Entity("Shop", [iq.Property("name", str), iq.Property("top", int, computation=iq.Max("parcels", "number"))]),
    iq.Entity(
        "Parcel",
        [
            iq.Property("kind", str, default="box"),
            iq.Property("number", int, computation=iq.ScopedSequence("parcel", ["shop", "kind"])),
        ],
        computation=iq.Transform(
            event_deps={"ship": iq.Trigger("ShipOrder")},
            callback=lambda event: [{"shop": {"id": event.record["shop"]}} for _ in range(event.record["count"])],
        ),
        constraints=[iq.UniqueConstraint("one_number", ["shop", "kind", "number"], violation_code="PARCEL_NUMBER")],
    ),
    iq.Entity(
        "Label",
        [
            iq.Property("text", str),
            iq.Property("serial", "number", computation=iq.ScopedSequence("label", "text", allow_manual_value=True)),
        ],
        computation=iq.Transform(
            "Parcel",
            lambda parcel: {"text": f"{parcel.kind} {parcel.number}"},
            attribute_query=["kind", "number"],
        ),
    ),
]
_RELATIONS = [
    iq.Relation(source="Shop", source_property="parcels", target="Parcel", target_property="shop", type="1:n")
]


def _controller(system: Any) -> iq.Controller:
    ship = iq.EventSource("ship", _SHIP, map_event_data=lambda _, args: args)
    return iq.Controller(system, entities=_ENTITIES, relations=_RELATIONS, event_sources=[ship])


@pytest.fixture
def controller(engine: Engine) -> iq.Controller:
    """Return a controller over two shops."""
    found = _controller(iq.System(engine))
    found.setup(install=True)
    for name in ("a", "b"):
        found.system.storage.create("Shop", {"name": name})
    return found


@behaviour("R-S4")
def test_created_records(controller: iq.Controller) -> None:
    storage = controller.system.storage
    storage.create("Parcel", {"shop": {"id": 1}})
    storage.create("Parcel", {"shop": {"id": 2}})
    storage.create("Shop", {"name": "c", "parcels": [{}, {"kind": "bag"}, {}]})
    found = storage.find(
        "Parcel", attribute_query=["kind", "number", ("shop", {"attribute_query": ["id"]})], order_by={"id": "asc"}
    )
    assert [(one["shop"]["id"], one["kind"], one["number"]) for one in found] == [
        (1, "box", 1),
        (2, "box", 1),
        (3, "box", 1),
        (3, "bag", 1),
        (3, "box", 2),
    ]
    assert [one["top"] for one in storage.find("Shop", attribute_query=["top"], order_by={"id": "asc"})] == [1, 1, 2]
    assert controller.system.check().ok


@behaviour("R-S12")
def test_derived_rows_are_numbered_and_read_in_turn(controller: iq.Controller) -> None:
    storage = controller.system.storage
    for shop, count in ((1, 3), (2, 1), (1, 2)):
        controller.dispatch("ship", {"shop": shop, "count": count}).raise_for_error()
    found = storage.find("Parcel", {"shop.id": 1}, attribute_query=["number"], order_by={"id": "asc"})
    assert [one["number"] for one in found] == [1, 2, 3, 4, 5]
    labels = storage.find("Label", attribute_query=["text", "serial"], order_by={"id": "asc"})
    assert [(one["text"], one["serial"]) for one in labels] == [
        ("box 1", 1),
        ("box 2", 1),
        ("box 3", 1),
        ("box 1", 2),
        ("box 4", 1),
        ("box 5", 1),
    ]
    assert all(isinstance(one["serial"], float) for one in labels)
    assert controller.system.check().ok


@behaviour("R-S12")
def test_a_failed_dispatch_returns_the_numbers(controller: iq.Controller) -> None:
    assert not controller.dispatch("ship", {"shop": 99, "count": 2}).ok  # there is no such shop
    controller.dispatch("ship", {"shop": 1, "count": 1}).raise_for_error()
    assert controller.system.storage.find_one("Shop", {"id": 1}, attribute_query=["top"]) == {"id": 1, "top": 1}
    assert controller.system.check().ok


@behaviour("R-S13")
def test_given_numbers_leave_the_counter(controller: iq.Controller) -> None:
    storage = controller.system.storage
    made = [storage.create("Label", {"text": "x", **more}) for more in ({}, {"serial": 40}, {}, {"serial": 2.0})]
    found = {one["id"]: one["serial"] for one in storage.find("Label", attribute_query=["serial"])}
    assert [found[one["id"]] for one in made] == [1, 40, 2, 2]
    for wrong in (1.5, "4", True):
        with pytest.raises((iq.ComputedWriteError, iq.InvalidValueError)):
            storage.create("Label", {"text": "x", "serial": wrong})
    with pytest.raises(iq.ComputedWriteError):
        storage.update("Label", {"id": made[0]["id"]}, {"serial": 3})
    # a check reports the number that two rows have, but no counter behind a given number
    assert [(d.property, d.stored) for d in controller.system.check().differences] == [("serial", 2), ("serial", 2)]


@behaviour("R-S14")
def test_duplicates_are_structured_errors(controller: iq.Controller) -> None:
    storage = controller.system.storage
    storage.create("Parcel", {"shop": {"id": 1}})
    table = controller.system.schema.metadata.tables["interaqt_scoped_counters"]
    with controller.system.session_factory.begin() as session:  # as after a mistake in SQL
        session.execute(table.update().values(last=0))
    with pytest.raises(iq.ConstraintViolationError) as caught:
        storage.create("Parcel", {"shop": {"id": 1}})
    assert caught.value.code == "PARCEL_NUMBER"
    controller.system.repair()
    storage.create("Parcel", {"shop": {"id": 1}})
    assert controller.system.check().ok


@behaviour("R-S4")
async def test_asynchronously(async_engine: AsyncEngine) -> None:
    system = iq.AsyncSystem(async_engine)
    ship = iq.EventSource("ship", _SHIP, map_event_data=lambda _, args: args)
    controller = iq.AsyncController(system, entities=_ENTITIES, relations=_RELATIONS, event_sources=[ship])
    await controller.setup(install=True)
    await system.storage.create("Shop", {"name": "a"})
    results = await asyncio.gather(*(controller.dispatch("ship", {"shop": 1, "count": 2}) for _ in range(4)))
    for result in results:
        result.raise_for_error()
    parcel = system.schema.mapped_class("Parcel")
    async with system.session_factory() as session:
        assert list(await session.scalars(select(parcel.number).order_by(parcel.number))) == [*range(1, 9)]
    assert (await system.check()).ok


@behaviour("R-S11")
def test_a_record_with_a_natural_key(engine: Engine) -> None:
    entity = iq.Entity(
        "Member",
        [iq.Property("email", str), iq.Property("number", int, computation=iq.ScopedSequence("member", ()))],
        identity=["email"],
    )
    controller = iq.Controller(iq.System(engine), entities=[entity])
    controller.setup(install=True)
    storage = controller.system.storage
    for email in ("a", "b", "a", "a", "c"):
        storage.create("Member", {"email": email})
    found = storage.find("Member", attribute_query=["email", "number"], order_by={"id": "asc"})
    assert [(one["email"], one["number"]) for one in found] == [("a", 1), ("b", 2), ("c", 3)]
    assert controller.system.check().ok


@behaviour("R-S4")
def test_inputs_of_a_merged_entity(engine: Engine) -> None:
    serial = iq.ScopedSequence("serial", "town", initial_value=100)
    entities = [
        iq.Entity("House", [iq.Property("town", str), iq.Property("plot", int, computation=serial)]),
        iq.Entity("Garden", [iq.Property("town", str), iq.Property("trees", int)]),
        iq.Entity("Site", input_entities=["House", "Garden"]),
    ]
    controller = iq.Controller(iq.System(engine), entities=entities)
    controller.setup(install=True)
    storage = controller.system.storage
    for record, town in (("House", "x"), ("Garden", "x"), ("House", "x"), ("House", "y")):
        storage.create(record, {"town": town})
    houses = storage.find("House", attribute_query=["town", "plot"], order_by={"id": "asc"})
    assert [(one["town"], one["plot"]) for one in houses] == [("x", 101), ("x", 102), ("y", 101)]
    garden = controller.system.schema.mapped_class("Garden")
    house = controller.system.schema.mapped_class("House")
    with controller.system.session_factory.begin() as session:
        session.add_all([garden(town="y"), last := house(town="y")])
        session.flush()
        assert last.plot == 102
        session.execute(insert(house), [{"town": "x"}])
        session.execute(insert(garden), [{"town": "x"}])
    assert [one["plot"] for one in storage.find("House", {"town": "x"}, attribute_query=["plot"])] == [101, 102, 103]
    assert controller.system.check().ok
