"""``system.graph()``: what every computed value is computed from, for each kind of input."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import Column, ForeignKey, Integer, Table
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

import interaqt_sa as iq


class Base(DeclarativeBase):
    pass


open_, shut = iq.StateNode("open"), iq.StateNode("shut")

tagging = Table(
    "graph_tagging",
    Base.metadata,
    Column("tag_id", ForeignKey("graph_tag.id")),
    Column("part_id", ForeignKey("graph_part.id")),
)


class Maker(Base):
    __tablename__ = "graph_maker"
    id: Mapped[int] = mapped_column(primary_key=True)
    rate: Mapped[int]


class Engine(Base):
    __tablename__ = "graph_engine"
    id: Mapped[int] = mapped_column(primary_key=True)
    parts: Mapped[list[Part]] = relationship(back_populates="engine")
    mass: Mapped[Decimal] = iq.computed(iq.Summation("parts", "mass", where=lambda part: part.broken.is_(False)))
    worst: Mapped[int | None] = iq.computed(iq.Max("parts", "maker.rate"))
    sound: Mapped[bool] = iq.computed(iq.Every("parts", lambda part: not part.broken, attribute_query=["broken"]))
    name: Mapped[str]
    shown: Mapped[str] = iq.computed(lambda engine: f"{engine.name}: {engine.mass}")


class Part(Base):
    __tablename__ = "graph_part"
    id: Mapped[int] = mapped_column(primary_key=True)
    engine_id: Mapped[int] = mapped_column(ForeignKey(Engine.id))
    engine: Mapped[Engine] = relationship(back_populates="parts")
    maker_id: Mapped[int] = mapped_column(ForeignKey(Maker.id))
    maker: Mapped[Maker] = relationship()
    mass: Mapped[Decimal]
    broken: Mapped[bool] = mapped_column("is_broken")
    tags: Mapped[list[Tag]] = relationship(secondary=tagging)
    tag_count: Mapped[int] = iq.computed(iq.Count("tags"))


class Tag(Base):
    __tablename__ = "graph_tag"
    id: Mapped[int] = mapped_column(primary_key=True)


class Alarm(Base):
    __tablename__ = "graph_alarm"
    __computation__ = iq.Transform(Engine, lambda engine: {"level": engine.mass}, attribute_query=["mass"])
    id: Mapped[int] = mapped_column(primary_key=True)
    level: Mapped[Decimal]
    state: Mapped[str] = iq.computed(
        iq.StateMachine(
            states=[open_, shut],
            initial_state=open_,
            transfers=[
                iq.StateTransfer(current=open_, next=shut, trigger=iq.Trigger(Maker), compute_target=lambda _, __: None)
            ],
        )
    )


@pytest.fixture
def graph() -> iq.ComputationGraph:
    return iq.System(sessionmaker(), base=Base).graph()


def test_inputs_of_every_kind(graph: iq.ComputationGraph) -> None:
    assert {node.name: set(node.inputs) for node in graph.nodes} == {
        "Alarm": {"Engine.mass"},
        "Alarm.state": {"Maker"},
        "Engine.mass": {"Part", "Part.mass", "Part.broken"},
        "Engine.shown": {"Engine"},
        "Engine.sound": {"Part", "Part.broken"},
        "Engine.worst": {"Part", "Maker.rate"},
        "Part.tag_count": {"graph_tagging", "Tag"},
    }


def test_values_come_after_what_they_are_computed_from(graph: iq.ComputationGraph) -> None:
    places = {node.name: place for place, node in enumerate(graph.nodes)}
    assert places["Engine.mass"] < places["Engine.shown"]
    assert places["Engine.mass"] < places["Alarm"]


@pytest.mark.parametrize(
    ("changed", "affected"),
    [
        ("Part.mass", {"Engine.mass", "Engine.shown", "Alarm"}),
        ("Part.broken", {"Engine.mass", "Engine.sound", "Engine.shown", "Alarm"}),
        ("Maker.rate", {"Alarm.state", "Engine.worst", "Engine.shown"}),
        ("Maker", {"Alarm.state", "Engine.worst", "Engine.shown"}),
        ("Tag", {"Part.tag_count"}),
        ("Engine.name", {"Engine.shown"}),
        ("Alarm.level", set()),
        ("Nothing", set()),
    ],
)
def test_what_a_change_affects(graph: iq.ComputationGraph, changed: str, affected: set[str]) -> None:
    assert set(graph.affected_by(changed)) >= affected


def test_a_declaration_is_told_with_its_conditions(graph: iq.ComputationGraph) -> None:
    shown = {node.name: node.computation for node in graph.nodes}
    assert shown["Engine.worst"] == "Max(source='parts', field='maker.rate')"
    assert shown["Engine.mass"].startswith("Summation(source='parts', field='mass', where=")
    assert "Engine.mass" in str(graph)
    assert "\n    from Part.mass" in str(graph)


def test_a_condition_in_sql_is_told_as_sql() -> None:
    class Own(DeclarativeBase):
        pass

    class Child(Own):
        __tablename__ = "graph_child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("graph_parent.id"))
        age: Mapped[int]

    class Parent(Own):
        __tablename__ = "graph_parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list[Child]] = relationship(Child)
        adults: Mapped[int] = iq.computed(iq.Count("children", where=Child.age >= 18), Integer)

    (node,) = iq.System(sessionmaker(), base=Own).graph().nodes
    assert node.computation == "Count(source='children', where=graph_child.age >= 18)"
    assert set(node.inputs) == {"Child", "Child.age"}


def test_a_diagram_has_every_value_and_every_input(graph: iq.ComputationGraph) -> None:
    drawn = graph.mermaid()
    assert drawn.startswith("flowchart LR\n")
    assert "    Part_mass --> Engine_mass\n" in drawn
    assert "    Engine_mass --> Alarm\n" in drawn
    assert 'Engine_worst("Engine.worst<br>Max(' in drawn
    assert "<lambda>" not in drawn  # would be a tag
    assert graph.as_dict()["nodes"][0].keys() == {"name", "computation", "inputs"}


def test_dictionaries_and_definitions_are_in_the_graph() -> None:
    order = iq.Entity("Order", [iq.Property("total", int), iq.Property("at", "timestamp")])
    base = iq.System(sessionmaker()).metadata
    iq.compile_schema(
        base, entities=[order], dictionaries=[iq.Dictionary("revenue", int, computation=iq.Summation("Order", "total"))]
    )
    (node,) = iq.System(sessionmaker(), base=base).graph().nodes
    assert "revenue" in node.name
    assert set(node.inputs) == {"Order", "Order.total"}


def test_an_empty_system_has_no_graph() -> None:
    with pytest.raises(iq.DefinitionFault, match="no tables"):
        iq.System(sessionmaker()).graph()


def test_the_asynchronous_system_has_the_same() -> None:
    system = iq.AsyncSystem(async_sessionmaker(), base=Base)
    assert system.graph() == iq.System(sessionmaker(), base=Base).graph()
