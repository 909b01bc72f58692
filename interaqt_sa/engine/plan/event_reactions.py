"""Find the plan nodes that a mutation event triggers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from ...definitions.events import Trigger
from ...schema.record_lookup import resolve_record
from .event_nodes import Reaction
from .plan import Plan
from .watched_tables import Sources


def resolved_trigger(plan: Plan, trigger: Trigger) -> tuple[Mapper[Any], Trigger]:
    """Return the record of a trigger, and the trigger with the pattern of its event source, if it names one."""
    ref = trigger.record_name
    mapper = resolve_record(plan.metadata, ref)
    pattern = getattr(ref, "trigger_pattern", lambda: None)()
    if pattern:
        merged = {**pattern, **(trigger.record or {})}
        trigger = Trigger(ref, trigger.type, record=merged, old_record=trigger.old_record, keys=trigger.keys)
    return mapper, trigger


def add_reaction(plan: Plan, sources: Sources, reaction: Reaction) -> None:
    """Register a reaction to events of a record and its subclasses."""
    sources.members(reaction.mapper)
    for mapper in reaction.mapper.self_and_descendants:
        for table in mapper.tables:
            if isinstance(table, Table) and reaction not in (listed := plan.reactions.setdefault(table, [])):
                listed.append(reaction)
