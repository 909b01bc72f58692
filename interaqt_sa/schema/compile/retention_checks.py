"""Checks of retention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import DateTime

from ...definitions.records import Entity
from ...definitions.retention import Retention
from ...dialects.column_types import AwareDateTime, Timestamp
from ...errors import DefinitionFault
from ..faults import Faults
from ..types import property_type
from .valid_parts import properties_of


def check_retention(entity: Entity, faults: Faults) -> None:
    """Collect the faults of ``retention=``."""
    given: Any = entity.retention
    for text in _faults(entity, given):
        faults.add(f"{entity.name}: retention={given!r}: {text}", record=entity.name)


def _faults(entity: Entity, given: Any) -> list[str]:
    if not isinstance(given, Retention):
        return ["give a Retention"]
    age: Any = given.max_age
    rows: Any = given.max_rows
    found: list[str] = []
    if age is None and rows is None:
        found.append("give max_age= or max_rows=")
    if age is not None and (not isinstance(age, timedelta) or age <= timedelta()):
        found.append("max_age is a timedelta above 0")
    if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 0):
        found.append("max_rows is a number of rows, from 0 on")
    if age is not None and given.by is None:
        found.append("max_age needs by=, the property with the time of a row")
    if given.by is not None and not _is_time(entity, given.by):
        found.append(f"by={given.by!r} is not a property of the type 'timestamp' or datetime")
    return found


def _is_time(entity: Entity, name: str) -> bool:
    prop = next((prop for prop in properties_of(entity) if prop.name == name), None)
    if prop is None or prop.collection:
        return False
    try:
        found = property_type(prop.type)
    except DefinitionFault:
        return True  # collected with the faults of the property
    return isinstance(found, (Timestamp, AwareDateTime)) or (isinstance(found, DateTime) and found.timezone)
