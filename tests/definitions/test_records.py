"""Entities, properties, relations, dictionaries and constraints are frozen values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from interaqt_sa.definitions.aggregates import Average, Count
from interaqt_sa.definitions.constraints import NonNullConstraint, UniqueConstraint
from interaqt_sa.definitions.dictionary import Dictionary
from interaqt_sa.definitions.events import Trigger
from interaqt_sa.definitions.records import Entity, Property, Relation
from interaqt_sa.definitions.same_row import SameRow
from interaqt_sa.definitions.state_machine import StateMachine, StateNode, StateTransfer
from interaqt_sa.definitions.transform import Transform
from interaqt_sa.errors import ComputationProtocolError

NODE = StateNode("a")


def double(row: Any) -> int:
    return 2 * int(row.n)


def relation(**kw: Any) -> Relation:
    ends = {"source": "A", "source_property": "b", "target": "B", "target_property": "a", "type": "n:1"}
    return Relation(**{**ends, **kw})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Property("n", int, default=3),
        lambda: Property("n", int, computed=double),
        lambda: Entity("E", [Property("n", int)], constraints=[UniqueConstraint("u", ["n"], where={"n": 1})]),
        lambda: Dictionary("d", "object", default={"a": []}),
        lambda: UniqueConstraint("u", ["a", "b"]),
        lambda: NonNullConstraint("u", "a", violation_code="X"),
        relation,
    ],
)
def test_definitions_are_values(make: Any) -> None:
    one, two = make(), make()
    assert one == two
    assert one.name == two.name
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        one.name = "other"
    if not isinstance(one, UniqueConstraint):
        assert hash(one) == hash(two)


def test_lists_are_copied() -> None:
    properties = [Property("n", int)]
    entity = Entity("E", properties)
    properties.clear()
    assert [prop.name for prop in entity.properties] == ["n"]


def test_a_function_of_the_row_is_a_computation() -> None:
    prop = Property("n", int, computed=double)
    assert isinstance(prop.computation, SameRow)
    assert prop.computation.function is double
    assert prop != Property("n", int, computed=lambda _: 1)

    async def later(row: Any) -> int:
        return 1

    with pytest.raises(ComputationProtocolError, match="is async"):
        Property("n", int, computed=later)


def test_relations_have_a_name_from_their_ends() -> None:
    class Customer:
        pass

    entity = Entity("Ticket")
    assert relation(source=entity, target=Customer).name == "Ticket_b_a_Customer"
    assert relation(source="shop.models.Order").name == "Order_b_a_B"
    assert relation(name="Mine").name == "Mine"


@pytest.mark.parametrize("name", [None, 3, ["a"]])
@pytest.mark.parametrize(
    "make",
    [
        lambda name: Property(name, int),
        Entity,
        lambda name: Dictionary(name, int),
        lambda name: UniqueConstraint(name, ["a"]),
        lambda name: NonNullConstraint(name, "a"),
        lambda name: relation(source_property=name),
        lambda name: relation(target_property=name),
    ],
)
def test_names_are_strings(make: Any, name: Any) -> None:
    with pytest.raises(TypeError, match="is not a string"):
        make(name)


@pytest.mark.parametrize(
    "make",
    [
        lambda node: StateMachine(states=["a"], transfers=[], initial_state=node),
        lambda node: StateMachine(states=[node], transfers=[], initial_state="a"),
        lambda node: StateTransfer(current="a", next=node, trigger=Trigger("E")),
        lambda node: StateTransfer(current=node, next="a", trigger=Trigger("E")),
    ],
)
def test_states_are_nodes(make: Any) -> None:
    with pytest.raises(ComputationProtocolError, match="'a' is not a StateNode; make each once"):
        make(StateNode("a"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Transform("A", {"x": 1}), "Transform: callback is {'x': 1}, which is not a function"),  # type: ignore[arg-type]
        (lambda: Transform("A", dict, attribute_query="n"), "attribute_query is a list of names: write .'n'."),
        (lambda: Count("a", callback=bool, attribute_query="price"), "attribute_query is a list of names"),
        (lambda: Trigger("E", "update", keys="status"), "keys is a list of names: write .'status'."),
        (lambda: StateNode("a", compute_value=3), "compute_value is 3, which is not a function"),  # type: ignore[arg-type]
        (
            lambda: StateTransfer(current=NODE, next=NODE, trigger=Trigger("E"), compute_target=3),  # type: ignore[arg-type]
            "compute_target is 3, which is not a function",
        ),
        (lambda: StateTransfer(current=NODE, next=NODE, trigger=3), "3 is not a Trigger; write Trigger"),  # type: ignore[arg-type]
        (
            lambda: StateMachine(states=[NODE], transfers=[3], initial_state=NODE),  # type: ignore[list-item]
            "StateMachine: 3 is not a StateTransfer",
        ),
        (lambda: Count("a", direction="sideways"), "'sideways'.: 'source' or 'target'"),  # type: ignore[arg-type]
        (lambda: Average("a", "b", empty="x"), "Average.empty='x'.: a number, or None"),  # type: ignore[arg-type]
    ],
)
def test_parameters_of_computations(make: Any, message: str) -> None:
    with pytest.raises(ComputationProtocolError, match=message):
        make()
