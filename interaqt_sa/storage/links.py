"""Relations by name, also those that a foreign key holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapper, Session, class_mapper

from ..definitions.argument_types import RecordRef, Where
from ..definitions.match import And, Atom, MatchExp, Not, Or
from ..definitions.records import Relation, ref_name
from ..definitions.short_repr import shorten
from ..errors import DefinitionFault, InvalidValueError
from ..schema.compile.relations import holding_side
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import resolve_record
from .attributes import key_attributes
from .read import Record, matching
from .required_sources import refuse_orphans
from .undivided_calls import flush_last
from .write import create, delete, update


@dataclass(frozen=True, slots=True)
class HeldRelation:
    """A relation that the rows of one end hold.

    :ivar side: the end that holds it, ``"source"`` or ``"target"``; ``attribute`` is its relationship.
    """

    relation: Relation
    side: str
    host: Mapper[Any]
    attribute: str

    def on_host(self, expression: MatchExp) -> MatchExp:
        """Return a predicate over the relation's ``source`` and ``target`` as one over the host."""
        match expression:
            case Atom(key, operator, operand):
                end, dot, rest = key.partition(".")
                if not dot or end not in ("source", "target"):
                    raise DefinitionFault(
                        f"relation {self.relation.name!r} has no values of its own; "
                        f"match by source.… and target.…, not by {key!r}",
                        record=self.relation.name,
                    )
                return Atom(rest if end == self.side else f"{self.attribute}.{rest}", operator, operand)
            case And(parts):
                return And(tuple(map(self.on_host, parts)))
            case Or(parts):
                return Or(tuple(map(self.on_host, parts)))
            case Not(part):
                return Not(self.on_host(part))
            case _:
                raise NotImplementedError(type(expression))


def find_relation(metadata: MetaData, ref: RecordRef) -> Mapper[Any] | HeldRelation:
    """Return the mapper of a relation's rows, or which foreign key holds it.

    :raises DefinitionFault: if there is no such relation.
    """
    catalog = Catalog.of(metadata)
    name = ref_name(ref)
    relation = catalog.definitions.get(name)
    if not isinstance(relation, Relation):
        known = ", ".join(sorted(n for n, value in catalog.definitions.items() if isinstance(value, Relation)))
        raise DefinitionFault(f"there is no relation {name!r}; there are {known or 'none'}", record=name)
    if name in catalog.classes:
        return class_mapper(catalog.classes[name])
    side = holding_side(relation)
    if side == "source":
        return HeldRelation(relation, side, resolve_record(metadata, relation.source), relation.source_property)
    return HeldRelation(relation, side, resolve_record(metadata, relation.target), relation.target_property)


def add(
    session: Session, metadata: MetaData, ref: RecordRef, source_id: Any, target_id: Any, data: Mapping[str, Any]
) -> Record:
    """Relate two records."""
    found = find_relation(metadata, ref)
    given: Any = data
    if not isinstance(given, Mapping):
        raise InvalidValueError(
            f"the data of a relation is a mapping with the names of its properties, not {shorten(data)}",
            record=ref_name(ref),
            code="INVALID_ARGUMENT",
        )
    if isinstance(found, Mapper):
        created = create(session, found, {**data, "source_id": source_id, "target_id": target_id})
        return {**created, "source": {"id": source_id}, "target": {"id": target_id}}
    if data:
        raise DefinitionFault(
            f"relation {found.relation.name!r} has no properties, so it cannot take {sorted(data)}",
            record=found.relation.name,
        )
    host_id, other_id = (source_id, target_id) if found.side == "source" else (target_id, source_id)
    other = found.host.relationships[found.attribute].mapper
    (host_key,), (other_key,) = key_attributes(found.host), key_attributes(other)
    changed = update(
        session, found.host, MatchExp.atom(host_key, ("=", host_id)), {found.attribute: {other_key: other_id}}
    )
    if not changed:
        raise DefinitionFault(f"there is no record with the key {host_id!r}", record=found.relation.name)
    return {"source": {"id": source_id}, "target": {"id": target_id}}


def remove(session: Session, metadata: MetaData, ref: RecordRef, match: Where) -> list[Record]:
    """End the relations that fulfil ``match``; answer them."""
    found = find_relation(metadata, ref)
    if isinstance(found, Mapper):
        return delete(session, found, match)
    expression = match if isinstance(match, MatchExp) else MatchExp.from_object(_conditions(found, match))
    other = found.host.relationships[found.attribute].mapper
    (host_key,), (other_key,) = key_attributes(found.host), key_attributes(other)
    related = found.on_host(expression) & MatchExp.atom(f"{found.attribute}.{other_key}", ("!=", None))
    ends: list[Record] = []
    for instance in session.scalars(matching(session, found.host, related)).unique().all():
        refuse_orphans(found.host.relationships[found.attribute], instance)
        host = {"id": getattr(instance, host_key)}
        neighbour = {"id": getattr(getattr(instance, found.attribute), other_key)}
        setattr(instance, found.attribute, None)
        source, target = (host, neighbour) if found.side == "source" else (neighbour, host)
        ends.append({"source": source, "target": target})
    flush_last(session)
    return ends


def _conditions(held: HeldRelation, match: Any) -> Mapping[str, Any]:
    conditions: Mapping[str, Any] = match
    if callable(match) or not hasattr(match, "keys"):
        raise DefinitionFault(
            f"relation {held.relation.name!r} is held by a foreign key: give a MatchExp or a mapping of conditions on "
            "source.… and target.…",
            record=held.relation.name,
        )
    return conditions
