"""Records with a natural key: creating one that exists already refers to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Mapper, Session

from ..dialects import dialect_class
from ..errors import DefinitionFault, InvalidValueError
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name
from .attributes import key_attributes, metadata_of, unknown_attribute
from .paths import foreign_key_pairs
from .read import dialect_of
from .record_makers import Record
from .references import Inserted, column_key, is_reference, without_link


class Existing(dict[str, Any]):
    """The stored values of a record that existed already."""


def natural_key(mapper: Mapper[Any]) -> tuple[str, ...]:
    """Return the names of the properties that identify a record, besides its id; empty if there are none."""
    return Catalog.of(metadata_of(mapper)).natural_keys.get(record_name(mapper), ())


def refuse_natural_key(mapper: Mapper[Any], data: Mapping[str, Any]) -> None:
    """Refuse a change of a natural key.

    :raises DefinitionFault: if ``data`` contains a part of it.
    """
    for name in natural_key(mapper):
        if name in data:
            raise DefinitionFault(
                f"{record_name(mapper)}.{name} is part of the natural key (identity=) and never changes; "
                "create another record instead",
                record=record_name(mapper),
                property=name,
            )


def find_or_insert(session: Session, mapper: Mapper[Any], data: Mapping[str, Any]) -> Existing | Mapping[str, Any]:
    """Insert the records in ``data`` that have a natural key, unless they exist.

    :return: the stored values, if the record itself existed; otherwise as :func:`resolve_neighbours`.
    :raises InvalidValueError: if a part of a natural key is missing.
    """
    found = _upsert(session, mapper, data) if natural_key(mapper) else data
    return found if isinstance(found, Existing) else resolve_neighbours(session, mapper, found)


def resolve_neighbours(session: Session, mapper: Mapper[Any], data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Insert the neighbours in ``data`` that have a natural key, unless they exist.

    :return: ``data``, in which neighbours that existed are references, and those that did not :class:`.Inserted`.
    """
    if not Catalog.of(metadata_of(mapper)).natural_keys:
        return data
    changed: Record = {}
    for name, value in data.items():
        if value is None or name not in mapper.relationships:
            continue
        relationship = mapper.relationships[name]
        parts = value if relationship.uselist else [value]
        resolved = [_neighbour(session, relationship.mapper, part) for part in parts]
        if any(new is not old for new, old in zip(resolved, parts, strict=True)):
            changed[name] = resolved if relationship.uselist else resolved[0]
    if not changed:
        return data
    return Inserted({**data, **changed}, data.instance) if isinstance(data, Inserted) else {**data, **changed}


def _neighbour(session: Session, target: Mapper[Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    rest = without_link(part)
    if is_reference(target, rest):
        return part
    found = find_or_insert(session, target, rest)
    if found is rest:
        return part
    link = {name: value for name, value in part.items() if name not in rest}
    if isinstance(found, Existing):
        return {**{name: found[name] for name in key_attributes(target)}, **link}
    return Inserted({**found, **link}, found.instance) if isinstance(found, Inserted) else {**found, **link}


def _upsert(session: Session, mapper: Mapper[Any], data: Mapping[str, Any]) -> Existing | Inserted:
    """Insert a row unless there is one with the natural key; return the record, or the stored values."""
    names, keys = natural_key(mapper), key_attributes(mapper)
    for name in names:
        if data.get(name) is None:
            raise InvalidValueError(
                f"{record_name(mapper)}.{name} is part of the natural key (identity=) and has no value; give one",
                record=record_name(mapper),
                property=name,
                code="INVALID_KEY",
            )
    session.flush()
    cls, dialect = mapper.class_, dialect_of(session, mapper)
    columns = [mapper.column_attrs[name].columns[0] for name in names]
    insert = (
        dialect_class(dialect)
        .insert(cls)
        .values(_own_values(mapper, data))
        .on_conflict_do_nothing(index_elements=columns)
        .returning(*(getattr(cls, key) for key in keys))
    )
    stored = select(*(getattr(cls, name).label(name) for name in mapper.column_attrs.keys()))  # noqa: SIM118
    stored = stored.where(*(getattr(cls, name) == data[name] for name in names))
    while True:
        row = session.execute(insert).one_or_none()
        if row is not None:
            return Inserted(data, session.get_one(cls, tuple(row)))
        existing = session.execute(stored).mappings().one_or_none()
        if existing is not None:
            return Existing(existing)
        # another transaction has deleted it in between


def _own_values(mapper: Mapper[Any], data: Mapping[str, Any]) -> Record:
    """Return the values of the row itself, including references to existing neighbours."""
    found: Record = {}
    for name, value in data.items():
        if name in mapper.column_attrs:
            found[name] = value
        elif name not in mapper.relationships:
            raise unknown_attribute(mapper, name, mapper.attrs.keys())
        elif not mapper.relationships[name].uselist and value is not None:
            target = mapper.relationships[name].mapper
            pairs = foreign_key_pairs(mapper.relationships[name])
            if pairs and is_reference(target, value):
                found |= {local: column_key(target, remote, value[remote]) for remote, local in pairs.items()}
    return found
