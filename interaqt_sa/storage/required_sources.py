"""Targets that exist only with their source."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, inspect
from sqlalchemy.orm import Mapper, RelationshipProperty, Session

from ..definitions.records import Relation
from ..errors import DefinitionFault
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name
from ..schema.relationship_info_keys import RELATION_KEY
from .attributes import metadata_of
from .paths import foreign_key_pairs


def refuse_orphans(relationship: RelationshipProperty[Any], instance: Any, neighbours: Iterable[Any] = ()) -> None:
    """Check that replacing the neighbours of ``instance`` by ``neighbours`` leaves no target without its source.

    :raises DefinitionFault: if it does.
    """
    relation = _relation(relationship.parent, relationship.info.get(RELATION_KEY, ""))
    if relation is None or not inspect(instance).persistent:
        return
    if pairs := foreign_key_pairs(relationship):
        left = [instance] if any(getattr(instance, name) is not None for name in pairs.values()) else []
    else:
        old: Any = getattr(instance, relationship.key)
        stay = {id(row) for row in neighbours}
        left = [row for row in (old if relationship.uselist else [old]) if row is not None and id(row) not in stay]
    for orphan in left:
        raise _orphan_fault(relation, orphan)


def refuse_lost_links(link: Mapper[Any], rows: Iterable[Any]) -> None:
    """Refuse to end links whose targets would be left without their source.

    :raises DefinitionFault: if there are such links.
    """
    relation = _relation(link, record_name(link))
    for row in rows if relation is not None else ():
        raise _orphan_fault(relation, row.target)


def end_moved_link(session: Session, link: Mapper[Any], row: Any) -> None:
    """Delete a link whose target gets another link, without deleting the target."""
    if _relation(link, record_name(link)) is None:
        session.delete(row)
        return
    # by a statement: deleting the object would also delete the target, which exists only with its source
    session.flush()
    cls: Any = link.class_
    session.execute(delete(cls).where(cls.id == row.id))


def _relation(mapper: Mapper[Any], name: str) -> Relation | None:
    """Return the relation ``name`` if its targets exist only with their source."""
    found = Catalog.of(metadata_of(mapper)).definitions.get(name)
    return found if isinstance(found, Relation) and found.is_target_reliance else None


def _orphan_fault(relation: Relation | None, orphan: Any) -> DefinitionFault:
    assert relation is not None
    state = inspect(orphan)
    key = ", ".join(map(str, state.identity or ()))
    return DefinitionFault(
        f"{record_name(state.mapper)} {key} exists only with its {relation.target_property}, because relation "
        f"{relation.name!r} has is_target_reliance; delete the record instead, or give it another "
        f"{relation.target_property}",
        record=record_name(state.mapper),
        property=relation.target_property,
    )


def refuse_orphan_by_column(mapper: Mapper[Any], instance: Any, name: str) -> None:
    """Check that setting the column attribute ``name`` to ``None`` leaves no target without its source."""
    for relationship in mapper.relationships:
        if name in foreign_key_pairs(relationship).values():
            refuse_orphans(relationship, instance)
