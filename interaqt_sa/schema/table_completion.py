"""Complete the tables once all classes are mapped: types of hidden columns, and indexes of members."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, MetaData, Table, event

from ..definitions.aggregates import Aggregate
from ..definitions.computation import computation_of
from .mapper_readiness import can_be_configured
from .member_indexes import add_member_indexes
from .member_types import give_member_types, has_member_types
from .metadata_state import Catalog


def complete_tables(metadata: MetaData) -> None:
    """Add what depends on the classes of members; idempotent.

    :param metadata: the MetaData of the tables, whose mappers are configured.
    """
    give_member_types(metadata)
    add_member_indexes(metadata)


def complete_if_mapped(metadata: MetaData) -> None:
    """Configure the mappers of ``metadata`` and complete its tables, if that is needed and all classes exist.

    For uses of the tables that need no mapper otherwise: their creation, and migrations.
    """
    catalog = Catalog.of(metadata)
    if catalog.completed == catalog.generation:
        return
    # configuring mappers early would surprise an application whose tables need nothing
    is_needed = _has_order if catalog.classes else has_member_types
    if not any(map(is_needed, list(metadata.tables.values()))):
        return
    mappers = catalog.all_mappers()
    if can_be_configured(mappers):
        for mapper in mappers:
            mapper.registry.configure(cascade=True)
        complete_tables(metadata)
        catalog.completed = catalog.generation


def _has_order(table: Table) -> bool:
    found = (computation_of(column) for column in list(table.columns))
    return any(isinstance(each, Aggregate) and each.order is not None for each in found)


@event.listens_for(MetaData, "before_create")
def _before_all_tables(metadata: MetaData, connection: Connection, **_: Any) -> None:
    complete_if_mapped(metadata)


@event.listens_for(Table, "before_create")
def _before_one_table(table: Table, connection: Connection, **_: Any) -> None:
    complete_if_mapped(table.metadata)
