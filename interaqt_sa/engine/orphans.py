"""Find objects that a flush deletes because a many-to-one relationship let go of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import get_history, instance_state
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE

from .plan import Plan


def find_orphans(session: Session, plan: Plan) -> list[Any]:
    """Return objects that the unit of work may delete although ``session.deleted`` does not hold them.

    They are the ones that ``relationship(cascade="all, delete-orphan", single_parent=True)`` no longer refers to, with
    what their own cascades delete. Those of collections are found with the members of these.
    """
    found: dict[Any, Any] = {}
    for instance in session.dirty:
        state = instance_state(instance)
        for name in plan.letting_go(state.mapper):
            if name not in state.committed_state:
                continue
            for orphan in get_history(instance, name, passive=PASSIVE_NO_INITIALIZE).deleted or ():
                if orphan is not None and instance_state(orphan).key is not None:
                    found.update((id(each), each) for each in _with_cascades(orphan))
    deleted = {id(instance) for instance in session.deleted} if found else set()
    return [instance for key, instance in found.items() if key not in deleted]


def _with_cascades(instance: Any) -> Iterator[Any]:
    yield instance
    state = instance_state(instance)
    for related, _, related_state, _ in state.mapper.cascade_iterator("delete", state):
        if related_state.key is not None:
            yield related
