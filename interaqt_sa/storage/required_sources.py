"""Targets that exist only with their source: while they exist, they have one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, RelationshipProperty

from ..definitions.records import Relation
from ..errors import DefinitionFault
from ..schema.compile.mapping import RELATION_KEY
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name
from .attributes import metadata_of
from .paths import foreign_key_pairs


def refuse_orphans(relationship: RelationshipProperty[Any], instance: Any, neighbours: Iterable[Any] = ()) -> None:
    """Refuse that all neighbours of ``instance`` but ``neighbours`` go, if that leaves a target without its source.

    :raises DefinitionFault: if it does.
    """
    relation = Catalog.of(metadata_of(relationship.parent)).definitions.get(relationship.info.get(RELATION_KEY, ""))
    if not isinstance(relation, Relation) or not relation.is_target_reliance or not inspect(instance).persistent:
        return
    if pairs := foreign_key_pairs(relationship):
        left = [instance] if any(getattr(instance, name) is not None for name in pairs.values()) else []
    else:
        old: Any = getattr(instance, relationship.key)
        stay = {id(row) for row in neighbours}
        left = [row for row in (old if relationship.uselist else [old]) if row is not None and id(row) not in stay]
    for orphan in left:
        state = inspect(orphan)
        key = ", ".join(map(str, state.identity or ()))
        raise DefinitionFault(
            f"{record_name(state.mapper)} {key} exists only with its {relation.target_property}, because relation "
            f"{relation.name!r} has is_target_reliance; delete the record instead, or give it another "
            f"{relation.target_property}",
            record=record_name(state.mapper),
            property=relation.target_property,
        )


def refuse_orphan_by_column(mapper: Mapper[Any], instance: Any, name: str) -> None:
    """Refuse that the column attribute ``name`` becomes ``None``, if the source of a target is in it."""
    for relationship in mapper.relationships:
        if name in foreign_key_pairs(relationship).values():
            refuse_orphans(relationship, instance)
