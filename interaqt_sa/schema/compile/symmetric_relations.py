"""Map symmetric relations: one row for two records, which is read from either of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Subquery, event, select, union_all
from sqlalchemy.orm import Mapper, class_mapper, registry, relationship

from ..metadata_state import Catalog
from ..relationship_info_keys import RELATION_KEY
from .relations import LinkPlan


def add_symmetric_link(held: LinkPlan, home: registry) -> None:
    """Relate the class of a symmetric relation to its record, and the record to itself.

    In addition to the class of the rows there is a class of the links in both directions: ``source`` is the record that
    a query starts from, ``target`` the other one.
    """
    relation, attribute = held.relation, held.relation.source_property
    catalog = Catalog.of(held.source.metadata)
    link = class_mapper(catalog.classes[relation.name], configure=False)
    record = class_mapper(held.source.mapped_class, configure=False)
    key, columns = held.source.key, link.local_table.c
    for side in ("source", "target"):
        near = columns[f"{side}_id"]
        joined: dict[str, Any] = {"primaryjoin": near == key, "foreign_keys": [near]}
        # a link is written by its columns only, so that it is never in the list of the other side
        link.add_property(side, relationship(record.class_, **joined, remote_side=[key], uselist=False))
        others = f"{attribute}_source_links,{attribute}_target_links,source,target"
        record.add_property(
            f"{attribute}_{side}_links",
            relationship(
                link.class_,
                **joined,
                remote_side=[near],
                uselist=True,
                cascade="save-update, merge, delete",
                overlaps=others,
            ),
        )
    event.listen(link.class_, "before_insert", _put_in_order)
    _add_either_way(catalog, home, relation.name, link, record, attribute, key)


def _put_in_order(_mapper: Mapper[Any], _connection: Any, row: Any) -> None:
    """Make the smaller key of a new link its source."""
    if row.source_id is None or row.target_id is None or row.source_id <= row.target_id:
        return
    row.source_id, row.target_id = row.target_id, row.source_id
    values: Any = row.__dict__
    if "source" in values and "target" in values:
        values["source"], values["target"] = values["target"], values["source"]


def _add_either_way(
    catalog: Catalog,
    home: registry,
    name: str,
    link: Mapper[Any],
    record: Mapper[Any],
    attribute: str,
    key: Any,
) -> None:
    """Map the links in both directions, for reading."""
    both = _both_ways(link, name)
    cls = type(name, (), {"__module__": __name__, "__doc__": f"A row of {name}, as seen from either end."})
    columns = {prop.key: both.c[prop.columns[0].key] for prop in link.column_attrs}
    mapper: Mapper[Any] = home.map_imperatively(
        cls, both, properties=columns, primary_key=[both.c.id, both.c.source_id, both.c.target_id]
    )
    catalog.either_way[name] = cls
    for side, other in (("source", f"{attribute}_links"), ("target", None)):
        near = both.c[f"{side}_id"]
        back: dict[str, Any] = {} if other is None else {"back_populates": other}
        mapper.add_property(
            side,
            relationship(
                record.class_, primaryjoin=near == key, foreign_keys=[near], viewonly=True, uselist=False, **back
            ),
        )
    record.add_property(
        f"{attribute}_links",
        relationship(
            cls,
            primaryjoin=both.c.source_id == key,
            foreign_keys=[both.c.source_id],
            viewonly=True,
            uselist=True,
            back_populates="source",
        ),
    )
    record.add_property(
        attribute,
        relationship(
            record.class_,
            secondary=both,
            primaryjoin=key == both.c.source_id,
            secondaryjoin=key == both.c.target_id,
            foreign_keys=[both.c.source_id, both.c.target_id],
            uselist=True,
            viewonly=True,
            info={RELATION_KEY: name},
        ),
    )


def _both_ways(link: Mapper[Any], name: str) -> Subquery:
    columns = {prop.columns[0].key: prop.columns[0] for prop in link.column_attrs}
    swapped = {**columns, "source_id": columns["target_id"], "target_id": columns["source_id"]}
    there = select(*(column.label(label) for label, column in columns.items()))
    # a link of a record to itself occurs once
    back = select(*(column.label(label) for label, column in swapped.items())).where(
        columns["source_id"] != columns["target_id"]
    )
    return union_all(there, back).subquery(f"{name}_both_ways")
