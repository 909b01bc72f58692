"""Relations by name, including those that are stored as foreign keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapper, Session, class_mapper

from ..definitions.match import MatchExp
from ..definitions.records import Relation, ref_name
from ..definitions.short_repr import shorten
from ..definitions.type_aliases import RecordRef, Where
from ..errors import ConstraintViolationError, DefinitionFault, InvalidValueError
from ..schema.foreign_key_relations import HeldRelation, held_relation
from ..schema.metadata_state import Catalog
from .attributes import key_attributes, metadata_of
from .foreign_key_links import on_host
from .input_checks import refuse_ends
from .read import matching
from .record_makers import Record
from .references import column_key, is_reference
from .required_match import require_match
from .required_sources import refuse_orphans
from .undivided_calls import flush_last
from .write import create, delete, update

_ENDS = ("source", "target")


def relation_definition(metadata: MetaData, ref: RecordRef) -> Relation:
    """Return the definition of a relation.

    :raises DefinitionFault: if there is no such relation.
    """
    catalog = Catalog.of(metadata)
    name = ref_name(ref)
    found = catalog.filtered.get(name)
    relation = catalog.definitions.get(name) if found is None else found.definition
    if not isinstance(relation, Relation):
        known = ", ".join(sorted(n for n, value in catalog.definitions.items() if isinstance(value, Relation)))
        raise DefinitionFault(f"there is no relation {shorten(name)}; there are {known or 'none'}", record=name)
    return relation


def resolve_relation(metadata: MetaData, ref: RecordRef) -> Mapper[Any] | HeldRelation:
    """Return the mapper of a relation's rows, or the foreign key that stores it.

    :raises DefinitionFault: if there is no such relation.
    """
    relation = relation_definition(metadata, ref)
    return held_relation(metadata, relation) or class_mapper(Catalog.of(metadata).classes[relation.name])


def add(
    session: Session, metadata: MetaData, ref: RecordRef, source_id: Any, target_id: Any, data: Mapping[str, Any]
) -> Record:
    """Relate two records."""
    found = resolve_relation(metadata, ref)
    given: Any = data
    if not isinstance(given, Mapping):
        raise InvalidValueError(
            f"the data of a relation is a mapping with the names of its properties, not {shorten(data)}",
            record=ref_name(ref),
            code="INVALID_ARGUMENT",
        )
    if isinstance(found, Mapper):
        refuse_ends(found, data)
        ends = {
            side: {key_attributes(found.relationships[side].mapper)[0]: id}
            for side, id in (("source", source_id), ("target", target_id))
        }
        created = create(session, found, {**data, **ends})
        return {**created, "source": {"id": source_id}, "target": {"id": target_id}}
    if data:
        raise _no_properties(found, sorted(data))
    host_id, other_id = (source_id, target_id) if found.side == "source" else (target_id, source_id)
    (other_key,) = key_attributes(found.other)
    other_id = column_key(found.other, other_key, other_id)
    is_there = MatchExp.atom(found.key, ("=", host_id)) & MatchExp.atom(found.column, ("=", other_id))
    if session.scalars(matching(session, found.host, is_there)).unique().first() is not None:
        raise ConstraintViolationError(
            f"relation {found.name!r}: {source_id!r} and {target_id!r} are related already",
            kind="unique",
            record=found.name,
            properties=("source", "target"),
        )
    changed = update(
        session, found.host, MatchExp.atom(found.key, ("=", host_id)), {found.attribute: {other_key: other_id}}
    )
    if not changed:
        raise DefinitionFault(f"there is no record with the key {shorten(host_id)}", record=found.name)
    return {"source": {"id": source_id}, "target": {"id": target_id}}


def create_held(session: Session, held: HeldRelation, data: Mapping[str, Any]) -> Record:
    """Relate the two records that ``data`` refers to by their keys under ``source`` and ``target``."""
    given: Any = data
    ends: list[Any] = []
    for side in _ENDS:
        mapper = held.host if side == held.side else held.other
        end: Any = given.get(side) if _is(given, Mapping) else None
        if not _is(end, Mapping) or not is_reference(mapper, end):
            raise DefinitionFault(
                f"relation {held.name!r}: give the key of its {side}, as in {{'id': 1}}, not {shorten(end)}",
                record=held.name,
                property=side,
            )
        ends += end.values()
    properties = {name: value for name, value in data.items() if name not in _ENDS}
    source_id, target_id = ends
    return add(session, metadata_of(held.host), held.relation, source_id, target_id, properties)


def update_links(
    session: Session, metadata: MetaData, ref: RecordRef, match: Where, data: Mapping[str, Any]
) -> list[Record]:
    """Change the properties of the relations that match ``match``."""
    found = resolve_relation(metadata, ref)
    if isinstance(found, Mapper):
        return update(session, found, match, data)
    raise _no_properties(found, list(data))


def remove(session: Session, metadata: MetaData, ref: RecordRef, match: Where) -> list[Record]:
    """End the relations that match ``match``; return them."""
    found = resolve_relation(metadata, ref)
    if isinstance(found, Mapper):
        return delete(session, found, match)
    require_match(found.name, match)
    (other_key,) = key_attributes(found.other)
    ends: list[Record] = []
    for instance in session.scalars(matching(session, found.host, on_host(found, match))).unique().all():
        refuse_orphans(found.host.relationships[found.attribute], instance)
        host = {"id": getattr(instance, found.key)}
        neighbour = {"id": getattr(getattr(instance, found.attribute), other_key)}
        setattr(instance, found.attribute, None)
        ends.append(found.ends(host, neighbour))
    flush_last(session)
    return ends


def _no_properties(held: HeldRelation, given: Sequence[str]) -> DefinitionFault:
    return DefinitionFault(
        f"relation {held.name!r} has no properties, so it cannot take {given}; to relate other records remove it and "
        "add another one",
        record=held.name,
    )


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind)
