"""Find objects that a flush deletes although ``session.deleted`` does not contain them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy.orm import RelationshipDirection, RelationshipProperty
from sqlalchemy.orm.attributes import get_history, instance_state
from sqlalchemy.orm.base import INCLUDE_PENDING_MUTATIONS, PASSIVE_NO_INITIALIZE

from ..plan import Plan
from .partial_flush import FlushedObjects


def find_orphans(flushed: FlushedObjects, plan: Plan) -> list[Any]:
    """Return objects that the unit of work may delete although ``session.deleted`` does not contain them.

    These are objects that were removed from a relationship with ``cascade="all, delete-orphan"``, and objects that were
    added to or removed from a relationship of a deleted object after ``session.delete()``; each with its own delete
    cascades.
    """
    found: dict[int, Any] = {}
    for instance in flushed.dirty:
        for relationship in _letting_go(instance, plan):
            if relationship.cascade.delete_orphan:
                for orphan in _let_go(instance, relationship):
                    found.update((id(each), each) for each in _with_cascades(orphan))
    for instance in flushed.deleted:
        for relationship in _letting_go(instance, plan):
            if relationship.direction is RelationshipDirection.MANYTOONE:
                for related in _related(instance, relationship):
                    found.update((id(each), each) for each in _with_cascades(related))
            elif relationship.direction is RelationshipDirection.ONETOMANY:
                found.update((id(orphan), orphan) for orphan in _let_go(instance, relationship))
    if not found:
        return []
    deleted = {id(instance) for instance in flushed.deleted}
    return [instance for key, instance in found.items() if key not in deleted]


def _letting_go(instance: Any, plan: Plan) -> Iterator[RelationshipProperty[Any]]:
    """Yield the relationships of an object from which something may have been removed."""
    state = instance_state(instance)
    for name in plan.letting_go(state.mapper):
        if name in state.committed_state:
            yield state.mapper.relationships[name]


def _let_go(instance: Any, relationship: RelationshipProperty[Any]) -> Iterator[Any]:
    """Yield stored objects that were removed from ``instance`` and have no other parent."""
    passive = PASSIVE_NO_INITIALIZE | INCLUDE_PENDING_MUTATIONS
    gone: Iterable[Any] = get_history(instance, relationship.key, passive=passive).deleted or ()
    implementation: Any = relationship.parent.class_manager.get_impl(relationship.key)
    return (orphan for orphan in _stored(gone) if implementation.hasparent(instance_state(orphan)) is False)


def _related(instance: Any, relationship: RelationshipProperty[Any]) -> Iterator[Any]:
    """Yield stored objects that are deleted with a deleted one, but that ``session.delete()`` has not marked."""
    history = get_history(instance, relationship.key, passive=PASSIVE_NO_INITIALIZE)
    yield from _stored(history.added or ())
    if relationship.cascade.delete_orphan:
        yield from _stored(history.deleted or ())


def _stored(related: Iterable[Any]) -> Iterator[Any]:
    return (each for each in related if each is not None and instance_state(each).key is not None)


def _with_cascades(instance: Any) -> Iterator[Any]:
    yield instance
    state = instance_state(instance)
    for related, _, related_state, _ in state.mapper.cascade_iterator("delete", state):
        if related_state.key is not None:
            yield related
