"""Validate data of records before anything is read or written."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.orm import Mapper, RelationshipProperty

from ..definitions.computation import computation_of
from ..definitions.short_repr import shorten
from ..errors import DefinitionFault, InvalidValueError
from ..schema.compile.definition_checks import LINK_ATTRIBUTES
from ..schema.merged_lookup import RECORD_TYPE
from ..schema.record_lookup import record_name
from ..schema.relationship_info_keys import FILTERED_KEY
from ..schema.value_checks import checked_value
from .attributes import LINK, is_relation, link_of, unknown_attribute
from .paths import foreign_key_pairs
from .references import column_key, is_reference, key_of, without_link

#: nesting depth of neighbours: more than any program writes, less than the depth of Python's stack
_MAX_NESTING = 50


def checked_data(mapper: Mapper[Any], data: Mapping[str, Any], dialect: Dialect, level: int = 1) -> dict[str, Any]:
    """Return ``data`` with values converted for its columns, including neighbours.

    :raises DefinitionFault: if there is no such attribute, also if no record would be written.
    :raises InvalidValueError: if a column cannot hold a value, or a neighbour is not a mapping.
    """
    record = record_name(mapper)
    if level > _MAX_NESTING:
        raise InvalidValueError(
            f"{record}: data is nested deeper than {_MAX_NESTING} neighbours", record=record, code="INVALID_VALUE"
        )
    found: dict[str, Any] = {}
    for name, value in data.items():
        if name in mapper.relationships:
            if (members := mapper.relationships[name].info.get(FILTERED_KEY)) is not None:
                raise DefinitionFault(
                    f"{record}.{name} reads the members of filtered relation {members!r}; write the property of the "
                    "relation that it is based on",
                    record=record,
                    property=name,
                )
            found[name] = _neighbours(mapper, mapper.relationships[name], value, dialect, level)
        elif name == RECORD_TYPE and mapper.polymorphic_on is mapper.columns.get(RECORD_TYPE):
            raise DefinitionFault(
                f"{record}.{name} is the kind of the record and never changes; create another record instead",
                record=record,
                property=name,
            )
        elif name in mapper.column_attrs:
            found[name] = _value(mapper, name, value, dialect, record)
        elif any(name in below.attrs for below in mapper.self_and_descendants):
            found[name] = value  # rows of a merged entity have the attributes of their inputs
        else:
            raise unknown_attribute(mapper, name, mapper.attrs.keys())
    _check_foreign_keys(mapper, found)
    return found


def _check_foreign_keys(mapper: Mapper[Any], data: Mapping[str, Any]) -> None:
    """Check that no neighbour is given in two ways that differ, by its foreign key and as a mapping.

    :raises InvalidValueError: if one is.
    """
    for name in data.keys() & mapper.relationships.keys():
        neighbour = data[name]
        for far, own in foreign_key_pairs(mapper.relationships[name]).items():
            if own not in data or not (neighbour is None or _is(neighbour, Mapping)):
                continue
            target = mapper.relationships[name].mapper
            refers = neighbour is None or is_reference(target, neighbour)
            key = None if neighbour is None or not refers else column_key(target, far, neighbour.get(far))
            if not refers or key != data[own]:
                record = record_name(mapper)
                raise InvalidValueError(
                    f"{record}.{own} and {record}.{name} are the same relation, and are given different values; give "
                    "one of them",
                    record=record,
                    property=name,
                    code="INVALID_VALUE",
                )


def _value(mapper: Mapper[Any], name: str, value: Any, dialect: Dialect, record: str) -> Any:
    column = mapper.column_attrs[name].columns[0]
    if computation_of(column) is not None:
        return value  # refused later, unless it is the current value
    if getattr(column, "primary_key", False) or getattr(column, "foreign_keys", ()):
        value = column_key(mapper, name, value)
        return checked_value(column, value, dialect, record=record, name=name, code="INVALID_KEY")
    return checked_value(column, value, dialect, record=record, name=name)


def _is(value: Any, *kinds: Any) -> bool:
    return isinstance(value, kinds)


def _neighbours(
    mapper: Mapper[Any], relationship: RelationshipProperty[Any], value: Any, dialect: Dialect, level: int
) -> Any:
    if not relationship.uselist or value is None:
        return _neighbour(relationship, value, dialect, level)
    if _is(value, str, bytes, Mapping, Awaitable) or not _is(value, Iterable):  # futures are iterable too
        raise InvalidValueError(
            f"{record_name(mapper)}.{relationship.key} leads to many records: give a list of mappings, "
            f"not {shorten(value)}",
            record=record_name(mapper),
            property=relationship.key,
            code="INVALID_VALUE",
        )
    parts: Iterable[Any] = value
    return _without_repeated(relationship, [_neighbour(relationship, part, dialect, level) for part in parts])


def _neighbour(relationship: RelationshipProperty[Any], value: Any, dialect: Dialect, level: int) -> Any:
    if not _is(value, Mapping):
        return value
    given: Mapping[str, Any] = value
    found = checked_data(relationship.mapper, {n: part for n, part in given.items() if n != LINK}, dialect, level + 1)
    if LINK in given:
        link = link_of(relationship)
        data = given[LINK]
        record, name = record_name(relationship.parent), relationship.key
        if not _is(data, Mapping):
            raise InvalidValueError(
                f"{record}.{name}: '&' is a mapping with the properties of the relation, not {shorten(data)}",
                record=record,
                property=name,
                code="INVALID_VALUE",
            )
        if link is None:
            raise DefinitionFault(
                f"{record}.{name}: the relation has no properties, because a foreign key holds it; leave '&' out",
                record=record,
                property=name,
            )
        refuse_ends(link, data)
        found[LINK] = checked_data(link, data, dialect)
    return found


def refuse_ends(mapper: Mapper[Any], data: Mapping[str, Any]) -> None:
    """Check that the properties of a relation do not contain its ends.

    :raises DefinitionFault: if ``mapper`` is a relation and ``data`` has an end.
    """
    if not is_relation(mapper):
        return
    for name in sorted(LINK_ATTRIBUTES & data.keys()):
        raise DefinitionFault(
            f"{record_name(mapper)}.{name} is an end of the relation, which never changes; to relate other records "
            "remove the relation and add another one",
            record=record_name(mapper),
            property=name,
        )


def _without_repeated(relationship: RelationshipProperty[Any], parts: list[Any]) -> list[Any]:
    """Return neighbours with each reference once.

    :raises InvalidValueError: if a neighbour is referred to twice, with different links.
    """
    target, links = relationship.mapper, dict[Any, Any]()
    found: list[Any] = []
    for part in parts:
        if _is(part, Mapping) and is_reference(target, rest := without_link(part)):
            key = key_of(target, rest)
            if key in links:
                if links[key] != part.get(LINK):
                    raise InvalidValueError(
                        f"{record_name(relationship.parent)}.{relationship.key} refers to {record_name(target)} "
                        f"{rest!r} twice, with different links; give it once",
                        record=record_name(relationship.parent),
                        property=relationship.key,
                        code="INVALID_VALUE",
                    )
                continue
            links[key] = part.get(LINK)
        found.append(part)
    return found
