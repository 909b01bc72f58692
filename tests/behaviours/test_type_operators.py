"""Types of the application whose operators can be used in matches by their names: S-A1, S-A12."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import ColumnElement, Dialect, Engine, MetaData, String, func, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Double, TypeDecorator

import interaqt_sa as iq
from interaqt_sa.schema.predicates.type_operators import operators_of_type
from tests.behaviours.numbers import behaviour


class Celsius(TypeDecorator[float]):
    """A temperature, given and returned in degrees Celsius, stored in Kelvin."""

    impl = Double
    cache_ok = True

    class comparator_factory(TypeDecorator.Comparator[float]):  # noqa: N801  SQLAlchemy's name
        def near(self, degrees: float) -> ColumnElement[bool]:
            return self.expr.between(degrees - 2.0, degrees + 2.0)

        def warmer_than_all(self, others: list[float]) -> ColumnElement[bool]:
            return self.expr > max(others)

        def doubled(self, _: Any) -> ColumnElement[Any]:
            return self.expr + self.expr

        def _hidden(self, _: Any) -> ColumnElement[bool]:
            return self.expr.is_(None)

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None else value + 273.15

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None else round(value - 273.15, 2)


class Word(String):
    class comparator_factory(String.Comparator[str]):  # noqa: N801  SQLAlchemy's name
        def sounds_like(self, other: str) -> ColumnElement[bool]:
            return func.lower(self.expr) == other.lower()


DEFINITIONS: dict[str, Any] = {
    "entities": [
        iq.Entity("Room", [iq.Property("warmth", Celsius), iq.Property("name", Word(40))]),
        iq.Entity("House", [iq.Property("cosy", int, computation=iq.Count("rooms", where={"warmth": ("near", 21)}))]),
        iq.Entity("CosyRoom", base_entity="Room", match_expression={"warmth": ("near", 21)}),
    ],
    "relations": [
        iq.Relation(source="House", source_property="rooms", target="Room", target_property="house", type="1:n")
    ],
}
ROOMS = [{"warmth": 4.5, "name": "Attic"}, {"warmth": 20, "name": "hall"}, {"warmth": 22.5, "name": None}, {}]


@pytest.fixture
def system(engine: Engine) -> iq.System:
    controller = iq.Controller(iq.System(engine, base=MetaData()), **DEFINITIONS)
    controller.setup(install=True)
    controller.system.storage.create("House", {"rooms": ROOMS})
    return controller.system


@behaviour("S-A1", "S-A12")
@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"warmth": ("near", 21)}, [2, 3]),
        ({"warmth": ("near", 5)}, [1]),
        ({"warmth": ("warmer_than_all", [1, 20.5])}, [3]),
        (~iq.MatchExp.atom("warmth", ("near", 21)), [1]),  # NULL is neither near nor not near
        ({"warmth": ("near", 21), "name": ("sounds_like", "HALL")}, [2]),
        ({"name": ("sounds_like", "x' OR '1'='1")}, []),
        ({"house.rooms.warmth": ("near", 5), "id": 2}, [2]),
        ({"house": ("exist", {"rooms": ("exist", {"warmth": ("near", 5)})})}, [1, 2, 3, 4]),
        ({"warmth": 20}, [2]),
        ({"warmth": ("in", [20, 4.5])}, [1, 2]),
    ],
)
def test_operators_of_a_type(system: iq.System, match: Any, expected: list[int]) -> None:
    storage = system.storage
    for _ in range(2):
        assert [row["id"] for row in storage.find("Room", match, order_by={"id": "ASC"})] == expected
    assert storage.count("Room", match) == len(expected)
    nested: list[Any] = [("rooms", {"match_expression": match, "modifier": {"order_by": {"id": "ASC"}}})]
    found = storage.find_one("House", attribute_query=nested)
    assert found is not None
    assert [row["id"] for row in found["rooms"]] == expected
    assert [row["id"] for row in storage.update("Room", match, {"name": "new"})] == expected


@behaviour("S-A1")
def test_values_and_filtered_records_use_them(system: iq.System) -> None:
    storage = system.storage
    assert storage.find("House", attribute_query=["cosy"]) == [{"id": 1, "cosy": 2}]
    assert storage.find("CosyRoom") == [{"id": 2}, {"id": 3}]
    storage.update("Room", {"id": 1}, {"warmth": 19.5})
    assert storage.find("House", attribute_query=["cosy"]) == [{"id": 1, "cosy": 3}]
    assert storage.count("CosyRoom", {"warmth": ("near", 20)}) == 2
    assert system.check().ok


@behaviour("S-A12")
@pytest.mark.parametrize(
    ("match", "message"),
    [
        ({"warmth": ("nere", 3)}, "warmth: unknown operator 'nere'; did you mean 'near'?"),
        ({"name": ("near", 3)}, "name: unknown operator 'near'; there are !=, <"),
        ({"warmth": ("lik", 3)}, "warmth: unknown operator 'lik'; did you mean 'like'"),
        ({"warmth": ("desc", 3)}, "unknown operator 'desc'"),
        ({"warmth": ("operate", 3)}, "unknown operator 'operate'"),
        ({"warmth": ("_hidden", 3)}, "unknown operator '_hidden'"),
        ({"warmth": ("doubled", 3)}, "'doubled' of Celsius.* which is not a condition"),
        ({"warmth": ("near", None)}, "'near' takes a value"),
        ({"warmth": ("near", iq.MatchExp.ref("warmth"))}, "no reference to another attribute"),
    ],
)
def test_other_operators_are_refused(system: iq.System, match: Any, message: str) -> None:
    with pytest.raises(iq.DefinitionFault, match=message):
        system.storage.find("Room", match)
    with pytest.raises(iq.DefinitionFault, match=message):
        system.storage.delete("Room", match)


@behaviour("S-A12")
@pytest.mark.parametrize("operand", ["warm", [], {}, object()])
def test_operands_that_an_operator_does_not_accept(system: iq.System, operand: Any) -> None:
    with pytest.raises(iq.InvalidValueError, match="'near' does not accept") as caught:
        system.storage.find("Room", {"warmth": ("near", operand)})
    assert caught.value.code == "INVALID_VALUE"


@behaviour("S-A12")
def test_unknown_operators_of_declarations(engine: Engine) -> None:
    house = iq.Entity("House", [iq.Property("n", int, computation=iq.Count("rooms", where={"warmth": ("nere", 21)}))])
    given: dict[str, Any] = {**DEFINITIONS, "entities": [DEFINITIONS["entities"][0], house]}
    with pytest.raises(iq.DefinitionError, match="unknown operator 'nere'; did you mean 'near'"):
        iq.Controller(iq.System(engine, base=MetaData()), **given).setup(install=True)


@behaviour("S-A12")
def test_mapped_classes(engine: Engine) -> None:
    class Base(DeclarativeBase):
        pass

    class Oven(Base):
        __tablename__ = "oven"
        id: Mapped[int] = mapped_column(primary_key=True)
        heat: Mapped[float] = mapped_column(Celsius)

    Base.metadata.create_all(engine)
    system = iq.System(engine, base=Base)
    system.storage.create("Oven", {"heat": 180})
    assert system.storage.find("Oven", {"heat": ("near", 181)}, attribute_query=["heat"]) == [{"id": 1, "heat": 180}]
    with system.session_factory() as session:  # the same method in SQLAlchemy's own statements
        heat: Any = Oven.heat
        assert session.scalar(select(Oven.heat).where(heat.near(179))) == 180


@behaviour("S-A12")
async def test_async(async_engine: AsyncEngine) -> None:
    controller = iq.AsyncController(iq.AsyncSystem(async_engine, base=MetaData()), **DEFINITIONS)
    await controller.setup(install=True)
    await controller.system.storage.create("Room", {"warmth": 20})
    assert await controller.system.storage.find("Room", {"warmth": ("near", 21)}) == [{"id": 1}]


def test_operators_of_types_of_sqlalchemy_are_not_offered() -> None:
    assert operators_of_type(Celsius()) == ["doubled", "near", "warmer_than_all"]
    assert operators_of_type(String()) == operators_of_type(Double()) == []
