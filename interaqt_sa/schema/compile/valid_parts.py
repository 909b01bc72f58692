"""The valid properties and constraints of a definition, whose other faults are collected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from ...definitions.constraints import NonNullConstraint, UniqueConstraint
from ...definitions.records import Constraint, Entity, Property, Relation
from ..naming import snake_case


def properties_of(definition: Entity | Relation) -> list[Property]:
    """Return the valid properties; :func:`check_record` collects the faults of others."""
    return [prop for prop in untyped(definition.properties) if isinstance(prop, Property)]


def constraints_of(definition: Entity | Relation) -> list[Constraint]:
    """Return the valid constraints; :func:`check_record` collects the faults of others."""
    given = untyped(definition.constraints)
    found = [constraint for constraint in given if isinstance(constraint, (UniqueConstraint, NonNullConstraint))]
    if isinstance(definition, Entity) and definition.identity:
        found.append(UniqueConstraint(f"{snake_case(definition.name)}_identity", definition.identity))
    return found


def untyped(given: Any) -> Iterable[Any]:
    """Return an argument as values of any type, which the annotation of its parameter rules out."""
    return cast("Iterable[Any]", given)
