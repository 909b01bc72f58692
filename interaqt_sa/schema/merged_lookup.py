"""Look up merged entities and their inputs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.orm import Mapper, class_mapper

from .metadata_state import Catalog
from .record_lookup import record_name

#: Attribute and column of a merged entity: the name of the input that a row belongs to.
RECORD_TYPE = "record_type"


def inputs_of(metadata: MetaData, mapper: Mapper[Any]) -> tuple[str, ...]:
    """Return the inputs of a merged entity; empty for other records."""
    return Catalog.of(metadata).merged.get(record_name(mapper), ())


def names_of_row(metadata: MetaData, record_type: str) -> tuple[str, ...]:
    """Return the names of the merged entities and of the input that a row of the input ``record_type`` belongs to."""
    mapper = class_mapper(Catalog.of(metadata).classes[record_type])
    return (*map(record_name, merged_above(metadata, mapper)), record_type)


def merged_above(metadata: MetaData, mapper: Mapper[Any]) -> tuple[Mapper[Any], ...]:
    """Return the merged entities that an input belongs to, the uppermost first; empty for other records."""
    merged = Catalog.of(metadata).merged
    if not merged or mapper.inherits is None:
        return ()
    found = [m for m in mapper.iterate_to_root() if m is not mapper and record_name(m) in merged]
    return tuple(reversed(found))
