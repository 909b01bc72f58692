"""The objects that ``session.flush([…])`` writes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import RelationshipDirection
from sqlalchemy.orm.attributes import get_history, instance_state
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE


def with_members(chosen: Iterable[Any]) -> set[int]:
    """Return the ids of the chosen objects, and of those that the unit of work writes with them.

    These are the objects added to or removed from their one-to-many collections, recursively.
    """
    waiting = list(chosen)
    found = {id(instance) for instance in waiting}
    while waiting:
        instance = waiting.pop()
        for relationship in instance_state(instance).mapper.relationships:
            if relationship.viewonly or relationship.direction is not RelationshipDirection.ONETOMANY:
                continue
            history = get_history(instance, relationship.key, passive=PASSIVE_NO_INITIALIZE)
            for member in (*(history.added or ()), *(history.deleted or ())):
                if member is not None and id(member) not in found:
                    found.add(id(member))
                    waiting.append(member)
    return found
