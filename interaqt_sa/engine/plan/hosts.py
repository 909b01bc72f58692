"""Hosts of a plan, and the edges over which the members of relationships contribute to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import Mapper, RelationshipProperty, class_mapper

from ...definitions.computation import info_of
from ...errors import DefinitionFault
from ...schema.compile.dictionaries import DICTIONARY_KEY
from ...schema.filtered_lookup import members_at_end
from ...schema.metadata_state import Catalog
from ...schema.relationship_info_keys import RELATION_KEY
from .edge_builder import EdgeBuilder
from .plan import Plan
from .plan_nodes import ComputedValue, Host
from .watched_tables import Sources


def host_of(plan: Plan, sources: Sources, value: ComputedValue) -> Host:
    """Return the host of a value, which is added to the plan with its first value."""
    table = value.table
    if table not in plan.hosts:
        source = sources.mapper(value.mapper)
        merged = plan.merged_above(value.mapper)
        host = Host(source, table, merged[0] if merged else value.mapper)
        if DICTIONARY_KEY in info_of(table):
            host.constant = (1,)
        plan.hosts[table] = host
        source.host = source.host or host
    return plan.hosts[table]


def followed_relationship(mapper: Mapper[Any], name: str, metadata: MetaData) -> RelationshipProperty[Any]:
    """Return a relationship to members.

    :raises DefinitionFault: if the engine cannot follow it.
    """
    found = mapper.relationships[name]
    if not isinstance(found.entity, Mapper):
        raise DefinitionFault(f"{name!r} refers to an alias; use a relationship to the class")
    if getattr(found.mapper.local_table, "metadata", metadata) is not metadata:
        raise DefinitionFault(f"{name!r} refers to another MetaData; declare both on one")
    return found


def edges_over(
    sources: Sources, host: Host, name: str, relationship: RelationshipProperty[Any], metadata: MetaData
) -> tuple[EdgeBuilder, ...]:
    """Start the edge over which members of a relationship contribute: two over a symmetric relation, one for each end.

    :param name: the name of the edge.
    """
    builder = EdgeBuilder(sources, host, name)
    catalog, relation = Catalog.of(metadata), relationship.info.get(RELATION_KEY)
    if relation not in catalog.either_way:
        found: tuple[EdgeBuilder, ...] = (builder.over(relationship),)
    else:
        link = class_mapper(catalog.classes[relation], configure=False).local_table
        assert isinstance(link, Table)
        other = EdgeBuilder(sources, host, name).over_one_way(relationship, link, "target")
        ways = builder.over_one_way(relationship, link, "source").edge, other.edge
        for edge in ways:
            edge.ways = ways
        other.edge.vector = builder.edge.vector
        found = builder, other
    members = members_at_end(metadata, relationship)
    for each in found:
        if members is not None:
            each.add_criterion(each.member.column_attrs[members.attribute].columns[0] > 0)
    return found
