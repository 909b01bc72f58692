"""Find the plan nodes that a mutation event triggers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper, class_mapper

from ...definitions.events import Trigger
from ...schema.filtered_lookup import filtered_record
from ...schema.foreign_key_relations import held_relation
from ...schema.merged_lookup import inputs_of
from ...schema.record_lookup import record_name, resolve_record
from .event_nodes import Reaction
from .plan import Plan
from .watched_tables import Sources


def resolved_trigger(plan: Plan, trigger: Trigger) -> tuple[Mapper[Any], Trigger, str | None]:
    """Return the record of a trigger, and the trigger with the pattern of its event source, if it names one.

    For a relation that is stored as a foreign key: the record with the foreign key, and the name of the relation. For a
    filtered record: its base, and the name of the filtered record. For a merged entity also its own name.
    """
    ref = trigger.record_name
    if (held := held_relation(plan.metadata, ref)) is not None:
        return held.host, trigger, held.name
    if (filtered := filtered_record(plan.metadata, ref)) is not None:
        return class_mapper(filtered.base), trigger, filtered.name
    mapper = resolve_record(plan.metadata, ref)
    pattern = getattr(ref, "trigger_pattern", lambda: None)()
    if pattern:
        merged = {**pattern, **(trigger.record or {})}
        trigger = Trigger(ref, trigger.type, record=merged, old_record=trigger.old_record, keys=trigger.keys)
    return mapper, trigger, told_as(plan, mapper)


def told_as(plan: Plan, mapper: Mapper[Any]) -> str | None:
    """Return the name under which reactions to events of a merged entity are triggered; ``None`` for other records."""
    return record_name(mapper) if inputs_of(plan.metadata, mapper) else None


def add_reaction(plan: Plan, sources: Sources, reaction: Reaction) -> None:
    """Register a reaction to events of a record and its subclasses."""
    sources.members(reaction.mapper)
    for mapper in reaction.mapper.self_and_descendants:
        for table in mapper.tables:
            if isinstance(table, Table) and reaction not in (listed := plan.reactions.setdefault(table, [])):
                listed.append(reaction)
