"""Look up filtered records by name, definition or class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, MetaData, and_
from sqlalchemy.orm import Mapper, RelationshipProperty

from ..definitions.match import Atom, MatchExp
from ..definitions.records import Relation
from ..definitions.type_aliases import RecordRef, Where
from .filtered_record import FilteredRecord
from .metadata_state import Catalog
from .relationship_info_keys import FILTERED_KEY, RELATION_KEY


def filtered_record(metadata: MetaData, ref: RecordRef) -> FilteredRecord | None:
    """Return the filtered record that ``ref`` refers to; ``None`` if it is not one."""
    known = Catalog.of(metadata).filtered
    if not known or ref is None or isinstance(ref, type):
        return None
    if not isinstance(ref, str) and not hasattr(ref, "match_expression"):
        return next((found for found in known.values() if vars(found).get("mapped_class") is ref), None)
    name = ref if isinstance(ref, str) else getattr(ref, "name", None)
    return known.get(name) if isinstance(name, str) else None


def filtered_records_of(metadata: MetaData, mapper: Mapper[Any]) -> tuple[FilteredRecord, ...]:
    """Return the filtered records of the rows of ``mapper``, each after those that it is based on."""
    return tuple(found for found in Catalog.of(metadata).filtered.values() if issubclass(mapper.class_, found.base))


def members_at_end(metadata: MetaData, relationship: RelationshipProperty[Any]) -> FilteredRecord | None:
    """Return the filtered record at the far end of a relation's property; ``None`` if that end is not filtered."""
    catalog = Catalog.of(metadata)
    name = relationship.info.get(RELATION_KEY) if catalog.filtered else None
    relation = catalog.definitions.get(name) if name is not None else None
    if not isinstance(relation, Relation):
        return None
    own = catalog.filtered.get(relationship.info.get(FILTERED_KEY, ""))
    properties = relation if own is None else own.definition
    is_source = relationship.key == getattr(properties, "source_property", None)
    return filtered_record(metadata, relation.target if is_source else relation.source)


def visible(row: Mapping[str, Any], filtered: Sequence[FilteredRecord]) -> Mapping[str, Any]:
    """Return a stored row without its memberships."""
    if not filtered:
        return row
    hidden = {members.attribute for members in filtered}
    return {name: value for name, value in row.items() if name not in hidden}


def base_record(metadata: MetaData, ref: RecordRef) -> RecordRef:
    """Return the record that stores the rows of ``ref``."""
    found = filtered_record(metadata, ref)
    return ref if found is None else found.base


def on_base(metadata: MetaData, ref: RecordRef, match: Any, *, required: bool = False) -> tuple[RecordRef, Any]:
    """Return the record that stores the rows of ``ref``, and the match restricted to the members of ``ref``.

    :param required: whether a missing match is passed on, to be refused.
    """
    found = filtered_record(metadata, ref)
    if found is None:
        return ref, match
    return found.base, None if required and is_missing(match) else among_members(found, match)


def is_missing(match: Any) -> bool:
    """Whether there is no match, or one without conditions."""
    return match is None or (isinstance(match, Mapping) and len(match) == 0)  # pyright: ignore[reportUnknownArgumentType]


def among_members(filtered: FilteredRecord, match: Where | None) -> Where:
    """Return the match of the members that match ``match``."""
    is_member = Atom(filtered.attribute, ">", 0)
    if match is None:
        return is_member
    given: Any = match
    if isinstance(given, MatchExp):
        return is_member & given
    if isinstance(given, ColumnElement) or hasattr(given, "__clause_element__"):
        return and_(cast("ColumnElement[bool]", given), filtered.membership > 0)
    if callable(given):
        function = cast("Callable[[Any], ColumnElement[bool]]", given)
        return lambda entity: and_(function(entity), getattr(entity, filtered.attribute) > 0)
    return is_member & MatchExp.from_object(cast("Mapping[str, Any]", given))
