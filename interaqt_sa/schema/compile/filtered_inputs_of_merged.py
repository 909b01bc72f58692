"""Merged entities with filtered inputs: filtered records over a merged entity of the bases of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, inspect, or_

from ...definitions.records import Entity, ref_name
from ...errors import DefinitionFault
from ..faults import Faults
from ..filtered_record import membership_name
from ..merged_lookup import RECORD_TYPE
from .definition_checks import base_of
from .new_definitions import Declarations


def divide(declared: Declarations, faults: Faults) -> None:
    """Replace each merged entity with filtered inputs by a merged entity of their bases, and a filtered record of it.

    The former has the name of the entity with ``_base`` at its end.
    """
    for name, definition in list(declared.merged.items()):
        with faults.caught(name, record=name):
            inputs = list(dict.fromkeys(map(ref_name, definition.input_entities)))
            filtered = [ref for ref in inputs if ref in declared.filtered]
            if not filtered:
                continue
            bases = {ref: _base(declared, ref) for ref in inputs}
            if name in bases.values() or any(base in filtered for base in bases.values()):
                raise DefinitionFault("it is an input of itself")
            below = f"{name}_base"
            if below in declared.merged or below in declared.entities or below in declared.filtered:
                raise DefinitionFault(f"the merged entity of its bases needs the name {below!r}; rename that record")
            below_others = {leaf for base in bases.values() for leaf in _below(declared, base)}
            del declared.merged[name]
            declared.as_given[name] = definition
            declared.merged[below] = Entity(
                below,
                input_entities=[base for base in dict.fromkeys(bases.values()) if base not in below_others],
                common_properties=definition.common_properties,
                table_name=definition.table_name,
                table_args=definition.table_args,
            )
            plain = [leaf for ref in inputs if ref not in filtered for leaf in _leaves(declared, ref)]
            condition = _condition(filtered, plain)
            declared.filtered[name] = Entity(
                name, base_entity=below, match_expression=condition, constraints=definition.constraints
            )


def _base(declared: Declarations, ref: str) -> str:
    seen: set[str] = set()
    while ref in declared.filtered and ref not in seen:
        seen.add(ref)
        ref = ref_name(base_of(declared.filtered[ref]))
    return ref


def _leaves(declared: Declarations, ref: str) -> list[str]:
    """Return the entities below a merged one that are not merged themselves; for others the entity itself."""
    return [below for below in _below(declared, ref) if below not in declared.merged] or [ref]


def _below(declared: Declarations, ref: str) -> list[str]:
    """Return all records below a merged entity."""
    found: dict[str, None] = {}
    waiting = [ref]
    while waiting:
        if (merged := declared.merged.get(waiting.pop())) is not None:
            further = [name for name in map(ref_name, merged.input_entities) if name not in found]
            found.update(dict.fromkeys(further))
            waiting += further
    return list(found)


def _condition(filtered: list[str], plain: list[str]) -> Callable[[Any], ColumnElement[bool]]:
    def is_member(cls: Any) -> ColumnElement[bool]:
        columns = inspect(cls).local_table.c
        of_filtered = [columns[membership_name(ref)] > 0 for ref in filtered]
        return or_(*of_filtered, *([columns[RECORD_TYPE].in_(plain)] if plain else []))

    return is_member
