"""The requested attributes of a record and of its neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapper, RelationshipProperty, class_mapper

from ..definitions.records import Relation
from ..definitions.short_repr import shorten, similar
from ..definitions.type_aliases import AttributeQuery, Where
from ..errors import DefinitionFault, InvalidValueError
from ..schema.checks.non_column_attributes import describe
from ..schema.filtered_lookup import among_members, members_at_end
from ..schema.filtered_record import is_membership
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name
from ..schema.relationship_info_keys import NEAR_KEY, RELATION_KEY

LINK = "&"
#: more than any program requests, less than the depth of Python's stack
_MAX_LEVELS = 50
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class Modifier:
    """Order and page of a list of records."""

    order_by: Mapping[str, str] = field(default_factory=dict[str, str])
    limit: int | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.order_by, "items"):
            raise _argument(f"order_by is a mapping of attributes to 'ASC' or 'DESC', not {shorten(self.order_by)}")
        for path, direction in self.order_by.items():
            if not _is(path, str) or not _is(direction, str) or direction.upper() not in ("ASC", "DESC"):
                raise _argument(f"order_by {shorten(path)}: 'ASC' or 'DESC', not {shorten(direction)}", property=path)
        for name in ("limit", "offset"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or _is(value, bool) or not 0 <= value < 2**63):
                raise _argument(f"{name} must be a number of rows, not {shorten(value)}")


@dataclass(slots=True)
class Selection:
    """The requested attributes of one record.

    :ivar columns: names of column attributes, including the key.
    :ivar nested: the requested attributes of neighbours, by relationship.
    :ivar link: the requested attributes of the link to this record.
    """

    mapper: Mapper[Any]
    columns: list[str]
    nested: dict[str, Nested] = field(default_factory=dict[str, "Nested"])
    link: Selection | None = None


@dataclass(slots=True)
class Nested:
    """The requested attributes of neighbours over ``relationship``; ``link`` is the link record, if there is one."""

    relationship: RelationshipProperty[Any]
    link: Mapper[Any] | None
    selection: Selection
    match: Where | None = None
    modifier: Modifier = field(default_factory=Modifier)


def _argument(text: str, **context: Any) -> InvalidValueError:
    return InvalidValueError(text, code="INVALID_ARGUMENT", **context)


def _is(value: Any, kind: type[Any]) -> bool:
    # values of applications, which may not conform to the annotations
    return isinstance(value, kind)


def key_attributes(mapper: Mapper[Any]) -> list[str]:
    """Return the names of the primary key attributes."""
    if not hasattr(mapper.local_table, "metadata"):  # each row of a symmetric relation is mapped from both ends
        return ["id"]
    return [mapper.get_property_by_column(column).key for column in mapper.primary_key]


def column_names(mapper: Mapper[Any]) -> list[str]:
    """Return the names of all column attributes, without memberships in filtered records."""
    return [prop.key for prop in mapper.column_attrs if not is_membership(prop.columns[0])]


def relationship_of(mapper: Mapper[Any], name: str) -> RelationshipProperty[Any]:
    """Return the relationship ``name`` of a record.

    :raises DefinitionFault: if there is none.
    """
    if name not in mapper.relationships:
        raise unknown_attribute(mapper, name, mapper.relationships.keys(), "relationship")
    return mapper.relationships[name]


def link_of(relationship: RelationshipProperty[Any]) -> Mapper[Any] | None:
    """Return the mapper of the relation's own rows between the two ends of ``relationship``, if it has any.

    Rows of a symmetric relation are mapped from either end, and read-only.
    """
    catalog = Catalog.of(metadata_of(relationship.parent))
    name = relationship.info.get(RELATION_KEY, "")
    link = catalog.either_way.get(name) or catalog.classes.get(name)
    return None if link is None else class_mapper(link)


def near_end(links: RelationshipProperty[Any]) -> str:
    """Return the end of links, ``"source"`` or ``"target"``, at which the record of a relationship to them is."""
    near: str | None = links.info.get(NEAR_KEY)
    return near or links.mapper.relationships[links.back_populates or ""].key


def is_relation(mapper: Mapper[Any]) -> bool:
    """Whether ``mapper`` maps the rows of a relation."""
    return isinstance(Catalog.of(metadata_of(mapper)).definitions.get(record_name(mapper)), Relation)


def metadata_of(mapper: Mapper[Any]) -> MetaData:
    """Return the MetaData of a record's table."""
    table: Any = mapper.local_table
    if not hasattr(table, "metadata"):  # rows of a symmetric relation, mapped from either end
        table = mapper.relationships["source"].mapper.local_table
    found: MetaData = table.metadata
    return found


def unknown_attribute(mapper: Mapper[Any], name: str, known: Iterable[str], kind: str = "attribute") -> DefinitionFault:
    """Return the error for an attribute that a record does not have."""
    record, names = record_name(mapper), sorted(known)
    if (other := describe(mapper.class_, name, is_query=True)) is not None:
        return DefinitionFault(f"{record}.{name} {other}", record=record, property=name)
    near = similar(name, names) or names
    return DefinitionFault(
        f"{record} has no {kind} {shorten(name)}; there is {', '.join(near) or 'none'}", record=record, property=name
    )


def parse(
    mapper: Mapper[Any], query: AttributeQuery | None, link: Mapper[Any] | None = None, level: int = 0
) -> Selection:
    """Return the requested attributes of ``query``.

    :param query: names of attributes, ``"*"`` for all columns, dotted paths, pairs of a relationship and the options
        for its neighbours, and ``("&", {…})`` for the link.
    :param link: the link record between this record and the previous one.
    :raises DefinitionFault: if an attribute does not exist.
    """
    found = Selection(mapper, key_attributes(mapper))
    if query is not None and (_is(query, str) or _is(query, Mapping) or not _is(query, Iterable)):
        raise _argument(
            f"{record_name(mapper)}: attribute_query is a list of attributes, not {shorten(query)}",
            record=record_name(mapper),
        )
    if level > _MAX_LEVELS:
        raise _argument(f"{record_name(mapper)}: an attribute query leads over more than {_MAX_LEVELS} relationships")
    for item in query or ():
        name, options = (item, _NOTHING) if isinstance(item, str) else _pair(mapper, item)
        head, dot, rest = name.partition(".")
        if dot:
            _add_nested(found, head, {"attribute_query": [rest]}, level)
        elif name == LINK:
            if link is None:
                raise DefinitionFault(
                    f"{record_name(mapper)}: '&' stands for the relation's own row, and there is none",
                    property=LINK,
                )
            found.link = parse(link, options.get("attribute_query"))
        elif name == "*":
            found.columns += [name for name in column_names(mapper) if name not in found.columns]
        elif name in mapper.relationships:
            _add_nested(found, name, options, level)
        elif name in mapper.column_attrs:
            if name not in found.columns:
                found.columns.append(name)
        else:
            raise unknown_attribute(mapper, name, [*column_names(mapper), *mapper.relationships.keys()])
    return found


def _pair(mapper: Mapper[Any], item: Any) -> tuple[str, Mapping[str, Any]]:
    if not _is_pair(item):
        raise DefinitionFault(
            f"{record_name(mapper)}: ask for an attribute by name, or for a neighbour by "
            f"(name, {{'attribute_query': […]}}), not by {shorten(item)}"
        )
    name: str = item[0]
    options: Mapping[str, Any] = item[1]
    unknown = options.keys() - {"attribute_query", "match_expression", "modifier"}
    if unknown:
        raise DefinitionFault(
            f"{record_name(mapper)}.{name}: unknown {', '.join(sorted(unknown))} in an attribute query; "
            "there are attribute_query, match_expression and modifier",
            property=name,
        )
    return name, options


def _is_pair(item: Any) -> bool:
    match item:
        case [str(), Mapping()]:
            return True
        case _:
            return False


def _add_nested(selection: Selection, name: str, options: Mapping[str, Any], level: int) -> None:
    relationship = relationship_of(selection.mapper, name)
    link = link_of(relationship)
    asked = parse(relationship.mapper, options.get("attribute_query"), link, level + 1)
    found = selection.nested.setdefault(name, Nested(relationship, link, asked))
    given, members = options.get("match_expression"), members_at_end(metadata_of(selection.mapper), relationship)
    if members is not None and (given is not None or found.match is None):
        found.match = among_members(members, given)
    elif given is not None:
        found.match = given
    if options.get("modifier") is not None:
        if not _is(options["modifier"], Mapping):
            raise _argument(f"{name}: a modifier is a mapping, not {shorten(options['modifier'])}", property=name)
        unknown = options["modifier"].keys() - {"order_by", "limit", "offset"}
        if unknown:
            raise DefinitionFault(
                f"{record_name(selection.mapper)}.{name}: unknown {', '.join(sorted(unknown))} in a modifier; "
                "there are order_by, limit and offset",
                property=name,
            )
        found.modifier = Modifier(**options["modifier"])
    if found.selection is not asked:
        _merge(found.selection, asked)


def _merge(into: Selection, other: Selection) -> None:
    into.columns += [name for name in other.columns if name not in into.columns]
    into.link = into.link or other.link
    for name, nested in other.nested.items():
        if (known := into.nested.setdefault(name, nested)) is not nested:
            _merge(known.selection, nested.selection)
