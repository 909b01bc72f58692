"""What mutation events set off: state machines and derived rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from ...definitions.events import Trigger
from ...definitions.state_machine import StateMachine
from ...definitions.transform import Transform
from ...schema.computed import state_of
from ...schema.record_lookup import resolve_record
from .contributions import ComputedValue
from .edge_builder import stored_attributes
from .event_nodes import Derivation, Machine, Reaction
from .plan import Plan
from .watched_tables import Sources


def add_state_machine(plan: Plan, sources: Sources, value: ComputedValue) -> None:
    """Add the machine of a column and the triggers of its transfers.

    :raises DefinitionFault: if the rows of a record that it names cannot be followed.
    """
    declaration = value.computation
    assert isinstance(declaration, StateMachine)
    source = sources.mapper(value.mapper)
    hidden = [c for c in value.table.columns if state_of(c) == (value.column.name, "state")]
    machine = Machine(value, declaration, source, hidden[0] if hidden else value.column)
    plan.machines.append(machine)
    for transfer in declaration.transfers:
        mapper, trigger = _resolved(plan, transfer.trigger)
        _react(plan, sources, Reaction(mapper, trigger, machine, transfer))


def add_transform(plan: Plan, sources: Sources, mapper: Mapper[Any], transform: Transform) -> Derivation:
    """Add a derivation, and return it.

    :raises DefinitionFault: if the rows of a record that it names cannot be followed.
    """
    target = sources.mapper(mapper)
    derivation = Derivation(mapper.class_.__name__, transform, target, mapper)
    plan.derivations.append(derivation)
    if transform.record is not None:
        derivation.origin = resolve_record(plan.metadata, transform.record)
        names = transform.attribute_query or tuple(stored_attributes(derivation.origin))
        derivation.attributes = tuple(names)
        columns = {place[1]: c for c in target.table.columns if (place := state_of(c)) is not None and place[0] is None}
        derivation.source_column, derivation.index_column = columns["source"], columns["index"]
        _react(plan, sources, Reaction(derivation.origin, None, derivation))
    for dependency in (transform.event_deps or {}).values():
        event_mapper, trigger = _resolved(plan, dependency)
        _react(plan, sources, Reaction(event_mapper, trigger, derivation))
    return derivation


def _resolved(plan: Plan, trigger: Trigger) -> tuple[Mapper[Any], Trigger]:
    """Return the record that a trigger waits for; one that names an event source gets its pattern."""
    ref = trigger.record_name
    mapper = resolve_record(plan.metadata, ref)
    pattern = getattr(ref, "trigger_pattern", lambda: None)()
    if pattern:
        merged = {**pattern, **(trigger.record or {})}
        trigger = Trigger(ref, trigger.type, record=merged, old_record=trigger.old_record, keys=trigger.keys)
    return mapper, trigger


def _react(plan: Plan, sources: Sources, reaction: Reaction) -> None:
    sources.members(reaction.mapper)
    for mapper in reaction.mapper.self_and_descendants:
        for table in mapper.tables:
            if isinstance(table, Table) and reaction not in (listed := plan.reactions.setdefault(table, [])):
                listed.append(reaction)
