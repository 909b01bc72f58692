"""The objects that a flush writes, all of a session or those of ``session.flush([…])``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy.orm import RelationshipDirection, Session
from sqlalchemy.orm.attributes import get_history, instance_state
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE


class FlushedObjects(NamedTuple):
    """The objects that a flush writes; the session's attributes build a new set each time."""

    new: list[Any]
    dirty: list[Any]
    deleted: list[Any]

    @classmethod
    def of(cls, session: Session) -> FlushedObjects:
        """Return the objects of ``session``."""
        return cls(list(session.new), list(session.dirty), list(session.deleted))

    def only(self, chosen: Iterable[Any]) -> FlushedObjects:
        """Return those that ``session.flush(chosen)`` writes."""
        ids = with_members(chosen)
        return FlushedObjects(*([instance for instance in group if id(instance) in ids] for group in self))


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
