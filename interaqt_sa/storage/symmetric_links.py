"""Links of symmetric relations, whose ends are not distinguished."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, or_, select
from sqlalchemy.orm import Mapper, RelationshipProperty, Session, class_mapper

from ..definitions.match import And, Atom, MatchExp, Not, Or, Reference
from ..definitions.type_aliases import RecordRef
from ..schema.metadata_state import Catalog
from ..schema.relationship_info_keys import RELATION_KEY
from .attributes import key_attributes, metadata_of

_OTHER = {"source": "target", "target": "source"}


def symmetric_link(relationship: RelationshipProperty[Any]) -> Mapper[Any] | None:
    """Return the mapper of the rows of a symmetric relation; ``None`` if ``relationship`` is not one."""
    catalog = Catalog.of(metadata_of(relationship.parent))
    name = relationship.info.get(RELATION_KEY, "")
    return class_mapper(catalog.classes[name]) if name in catalog.either_way else None


def links_by_other(session: Session, link: Mapper[Any], mapper: Mapper[Any], instance: Any) -> dict[Any, Any]:
    """Return the links of a record, by the key of the record at the other end."""
    own = getattr(instance, key_attributes(mapper)[0])
    if own is None:
        return {}
    cls: Any = link.class_
    found = session.scalars(select(cls).where(or_(cls.source_id == own, cls.target_id == own))).all()
    return {row.target_id if row.source_id == own else row.source_id: row for row in found}


def either_way(metadata: MetaData, ref: RecordRef, match: Any) -> Any:
    """Return a match of links in either direction, if ``ref`` is a symmetric relation."""
    name = ref if isinstance(ref, str) else getattr(ref, "name", getattr(ref, "__name__", None))
    if name not in Catalog.of(metadata).either_way or match is None:
        return match
    if isinstance(match, MatchExp):
        expression = match
    elif callable(match) or not hasattr(match, "keys") or not match:
        return match
    else:
        expression = MatchExp.from_object(match)
    return expression | _swapped(expression)


def _swapped(expression: MatchExp, *, is_inside: bool = False) -> MatchExp:
    """Return a predicate with its ends exchanged; inside ``exist`` only references start at the link."""
    match expression:
        case Atom(key, operator, operand):
            if operator == "exist":
                operand = _swapped(operand, is_inside=True)
            return Atom(key if is_inside else _path(key), operator, _operand(operand))
        case And(parts):
            return And(tuple(_swapped(part, is_inside=is_inside) for part in parts))
        case Or(parts):
            return Or(tuple(_swapped(part, is_inside=is_inside) for part in parts))
        case Not(part):
            return Not(_swapped(part, is_inside=is_inside))
        case _:
            raise NotImplementedError(type(expression))


def _operand(operand: Any) -> Any:
    if isinstance(operand, Reference):
        return MatchExp.ref(_path(operand.path))
    if type(operand) is tuple:
        parts: Any = operand  # pyright: ignore[reportUnknownVariableType]
        return tuple(_operand(part) for part in parts)
    return operand


def _path(key: str) -> str:
    head, dot, rest = key.partition(".")
    if head in ("source_id", "target_id"):
        return f"{_OTHER[head.removesuffix('_id')]}_id"
    return f"{_OTHER.get(head, head)}{dot}{rest}"
