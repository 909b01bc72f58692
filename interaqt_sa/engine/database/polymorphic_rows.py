"""Resolve the polymorphic class of stored rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Mapper

from ..plan import Key, Source
from .database import Database
from .same_row_functions import read_attributes


def classes_of(db: Database, source: Source, mapper: Mapper[Any], keys: Iterable[Key]) -> dict[Key, Mapper[Any]]:
    """Return the classes of rows of ``mapper`` by their discriminator; for unknown values the base class."""
    discriminator = mapper.polymorphic_on
    assert discriminator is not None
    statement = db.statements.read_rows(source, [discriminator], mapper)
    rows = db.execute(source, statement, db.dialect.pack("ids", source.key_shape, list(keys)))
    return {tuple(row[:-1]): mapper.polymorphic_map.get(row[-1], mapper.base_mapper) for row in rows}


def read_by_class(
    db: Database, source: Source, mapper: Mapper[Any], keys: Iterable[Key]
) -> dict[Mapper[Any], dict[Key, dict[str, Any]]]:
    """Return the stored column attributes of rows, by their own class if subclasses have other reactions."""
    if not db.statements.plan.is_narrowed(mapper):
        return {mapper: read_attributes(db, source, mapper, keys)}
    alike: dict[Mapper[Any], list[Key]] = {}
    for key, own in classes_of(db, source, mapper, keys).items():
        alike.setdefault(own, []).append(key)
    return {own: read_attributes(db, source, own, listed) for own, listed in alike.items()}


def read_instances(db: Database, source: Source, mapper: Mapper[Any], keys: Iterable[Key]) -> dict[Key, dict[str, Any]]:
    """Return the stored column attributes of the rows that are instances of ``mapper``'s class or a subclass."""
    found = read_attributes(db, source, mapper, keys)
    if not mapper.single or mapper.polymorphic_on is None or not found:
        return found
    classes = classes_of(db, source, mapper, found)
    return {key: row for key, row in found.items() if classes[key].isa(mapper)}
