"""Relations without rows of their own, stored as a foreign key of one end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapper, class_mapper

from ..definitions.records import Relation
from ..definitions.type_aliases import RecordRef
from .compile.relations import holding_side
from .filtered_lookup import base_record
from .metadata_state import Catalog
from .record_lookup import resolve_record


@dataclass(frozen=True, slots=True)
class HeldRelation:
    """A relation that is stored in the rows of one end.

    :ivar side: the end with the foreign key.
    :ivar host: the record at that end.
    :ivar attribute: the relationship of ``host`` to the other end.
    :ivar column: the attribute of ``host`` with the foreign key.
    :ivar key: the attribute of ``host`` with the primary key.
    """

    relation: Relation
    side: Literal["source", "target"]
    host: Mapper[Any]
    attribute: str
    column: str
    key: str

    @property
    def name(self) -> str:
        """The name of the relation."""
        return self.relation.name

    @property
    def far_side(self) -> Literal["source", "target"]:
        """The end without the foreign key."""
        return "target" if self.side == "source" else "source"

    @property
    def other(self) -> Mapper[Any]:
        """The record at the other end."""
        return self.host.relationships[self.attribute].mapper

    def link(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the link that a row of the host stores, ``None`` if its foreign key is NULL."""
        other = row.get(self.column)
        if other is None:
            return None
        return self.ends({"id": row[self.key]}, {"id": other})

    def ends(self, host: Any, other: Any) -> dict[str, Any]:
        """Return a mapping of ``source`` and ``target`` to the given ends."""
        return {"source": host, "target": other} if self.side == "source" else {"source": other, "target": host}


def is_held_relation(metadata: MetaData, ref: RecordRef) -> bool:
    """Whether ``ref`` names a relation that is stored as a foreign key."""
    return _definition(metadata, ref) is not None


def held_relation(metadata: MetaData, ref: RecordRef) -> HeldRelation | None:
    """Return the relation that ``ref`` names, if it is stored as a foreign key; otherwise ``None``."""
    relation = _definition(metadata, ref)
    return None if relation is None else _held(metadata, relation)


def _definition(metadata: MetaData, ref: RecordRef) -> Relation | None:
    if isinstance(ref, type) or getattr(ref, "is_mapper", False):
        return None
    catalog = Catalog.of(metadata)
    name = ref if isinstance(ref, str) else getattr(ref, "name", None)
    relation = catalog.definitions.get(name) if isinstance(name, str) else None
    return relation if isinstance(relation, Relation) and name not in catalog.classes else None


def relations_held_by(metadata: MetaData, mapper: Mapper[Any]) -> tuple[HeldRelation, ...]:
    """Return the relations that are stored as foreign keys in rows of ``mapper``."""
    catalog = Catalog.of(metadata)
    found = (
        _held(metadata, relation)
        for name, relation in catalog.definitions.items()
        if isinstance(relation, Relation) and name not in catalog.classes
    )
    return tuple(held for held in found if mapper.isa(held.host))


def _held(metadata: MetaData, relation: Relation) -> HeldRelation:
    side = holding_side(relation)
    end, attribute = (
        (relation.source, relation.source_property) if side == "source" else (relation.target, relation.target_property)
    )
    # configured, because its relationships are read
    host = class_mapper(resolve_record(metadata, base_record(metadata, end)).class_)
    pairs = host.relationships[attribute].local_remote_pairs or ()
    (column,) = (host.get_property_by_column(local).key for local, _ in pairs)
    (key,) = (host.get_property_by_column(column).key for column in host.primary_key)
    return HeldRelation(relation, side, host, attribute, column, key)
