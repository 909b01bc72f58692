"""Read stored rows, and resolve their polymorphic class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import Mapper

from ..plan import Key, Source
from .database import Database


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
    discriminator = mapper.polymorphic_on
    if not mapper.single or discriminator is None:
        return read_attributes(db, source, mapper, keys)
    stored, width = db.statements.stored(mapper), len(source.key)
    statement = db.statements.read_rows(source, [*stored.values(), discriminator], mapper)
    return {
        tuple(row[:width]): dict(zip(stored, row[width:-1], strict=True))
        for row in db.execute(source, statement, db.dialect.pack("ids", source.key_shape, list(keys)))
        if mapper.polymorphic_map.get(row[-1], mapper.base_mapper).isa(mapper)
    }


def read_attributes(
    db: Database, source: Source, mapper: Mapper[Any], keys: Iterable[Key]
) -> dict[Key, dict[str, Any]]:
    """Return the stored column attributes of rows."""
    stored = db.statements.stored(mapper)
    statement = db.statements.cached(
        ("read whole", source, mapper), lambda: db.statements.read_rows(source, [*stored.values()], mapper)
    )
    parameters = db.dialect.pack("ids", source.key_shape, list(keys))
    width = len(source.key)
    rows = db.execute(source, statement, parameters)
    return {tuple(row[:width]): dict(zip(stored, row[width:], strict=True)) for row in rows}
