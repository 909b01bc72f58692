"""Checks of natural keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, LargeBinary

from ...definitions.records import Entity, Property
from ...errors import DefinitionFault
from ..faults import Faults
from ..types import property_type
from .valid_parts import properties_of


def check_natural_key(entity: Entity, faults: Faults) -> None:
    """Collect the faults of ``identity=``."""
    names: Any = entity.identity or ()
    if isinstance(names, str):
        faults.add(f"{entity.name}: identity={names!r} is a list of names: [{names!r}]", record=entity.name)
        return
    properties = {prop.name: prop for prop in properties_of(entity)}
    if not names or len(set(names)) < len(names):
        faults.add(f"{entity.name}: identity={names!r} names properties, each once", record=entity.name)
        return
    for name in names:
        where = f"{entity.name}: identity={names!r}: {name!r}"
        prop = properties.get(name)
        if prop is None:
            known = ", ".join(properties)
            faults.add(f"{where} is not a property; there is {known or 'none'}", record=entity.name, property=str(name))
        elif prop.computed is not None or prop.computation is not None or prop.default is not None:
            faults.add(
                f"{where} has a default or is computed; the values of a natural key are given by who creates the "
                "record",
                record=entity.name,
                property=name,
            )
        elif prop.collection or not _is_scalar(prop):
            faults.add(
                f"{where} is not a scalar; use strings, numbers, dates and the like", record=entity.name, property=name
            )


def _is_scalar(prop: Property) -> bool:
    try:
        return not isinstance(property_type(prop.type), (JSON, LargeBinary))
    except DefinitionFault:
        return True  # collected with the faults of the property
