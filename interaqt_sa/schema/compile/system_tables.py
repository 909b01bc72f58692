"""Tables of the package itself: values by concept and key, and named counters."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, MetaData, String, Table
from sqlalchemy.orm import Mapper, class_mapper, registry

from ...definitions.computation import info_of
from ...errors import DefinitionFault
from ..metadata_state import SYSTEM_KEY, Catalog
from .mapping import map_class

#: The class of the values, and the name of their events.
VALUE_CLASS = "InteraqtValue"
_VALUES = "interaqt_values"
_COUNTERS = "interaqt_counters"


def add_system_tables(metadata: MetaData, home: registry) -> None:
    """Add the tables to ``metadata``; idempotent."""
    catalog = Catalog.of(metadata)
    if catalog.values_class is not None:
        return
    columns: dict[str, Column[Any]] = {
        "concept": Column("concept", String, primary_key=True),
        "key": Column("key", String, primary_key=True),
        # None is stored as JSON null; a missing row means that there is no value
        "value": Column("value", JSON, nullable=False),
    }
    values = Table(_VALUES, metadata, *columns.values(), info={SYSTEM_KEY: True})
    catalog.values_class = map_class(home, VALUE_CLASS, values, columns, None)
    catalog.counters = Table(
        _COUNTERS,
        metadata,
        Column("name", String, primary_key=True),
        Column("last", BigInteger, nullable=False),
        info={SYSTEM_KEY: True},
    )


def is_system_table(table: Any) -> bool:
    """Whether ``table`` is one of the package itself."""
    return isinstance(table, Table) and SYSTEM_KEY in info_of(table)


def values_mapper(metadata: MetaData) -> Mapper[Any]:
    """Return the mapper of the values by concept and key.

    :raises DefinitionFault: if nothing has been compiled on ``metadata``.
    """
    found = Catalog.of(metadata).values_class
    if found is None:
        raise _not_compiled("storage.get() and storage.set()", _VALUES)
    return class_mapper(found, configure=False)


def counters_table(metadata: MetaData) -> Table:
    """Return the table of named counters.

    :raises DefinitionFault: if nothing has been compiled on ``metadata``.
    """
    found = Catalog.of(metadata).counters
    if found is None:
        raise _not_compiled("storage.atomic.reserve_sequence_range()", _COUNTERS)
    return found


def _not_compiled(what: str, table: str) -> DefinitionFault:
    return DefinitionFault(
        f"{what}: this needs the table {table!r}, which compile_schema(base) adds to the MetaData; "
        "call it before the tables are created"
    )
