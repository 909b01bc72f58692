"""Map the classes of compiled records and the relationships between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.orm import Mapper, backref, class_mapper, registry, relationship

from ...definitions.computation import Computation
from ..merged_lookup import RECORD_TYPE
from ..metadata_state import Catalog
from ..relationship_info_keys import NEAR_KEY, RELATION_KEY
from .relations import ForeignKeyPlan, LinkPlan, index, unique


def home_registry(base: Any, metadata: MetaData) -> registry:
    """Return the registry for the classes of definitions: the registry of ``base``, else a private one."""
    catalog = Catalog.of(metadata)
    if catalog.home is None:
        known = getattr(base, "registry", base)
        catalog.home = known if isinstance(known, registry) else registry(metadata=metadata)
        catalog.registries.add(catalog.home)
    return catalog.home


def map_class(
    home: registry,
    name: str,
    table: Table | None,
    columns: dict[str, Column[Any]],
    computation: Computation[Any] | None,
    *,
    base: type[Any] = object,
    absent: Iterable[str] = (),
    **options: Any,
) -> type[Any]:
    """Return a new class ``name`` that is mapped to ``table``.

    :param columns: columns by attribute.
    :param computation: derives its rows; the ``instrument_class`` listener reads it from the class.
    :param base: its base class.
    :param absent: attributes of the base class that it does not have.
    :param options: further options of its mapper.
    """
    namespace: dict[str, Any] = {
        "__module__": __name__,
        "__init__": home.constructor,
        "__repr__": _repr,
        "__doc__": f"A row of {name if table is None else table.fullname}.",
        **{attribute: _Absent(name, attribute) for attribute in absent},
    }
    if computation is not None:
        namespace["__computation__"] = computation
    cls = type(name, (base,), namespace)
    home.map_imperatively(cls, table, properties=columns, **options)
    return cls


class _Absent:
    """An attribute of other inputs of a merged entity; raises :class:`AttributeError`, so that no value is lost."""

    def __init__(self, record: str, attribute: str) -> None:
        self._text = f"{record} has no attribute {attribute!r}; another input of its merged entity has it"

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        raise AttributeError(self._text)

    def __set__(self, instance: object, value: Any) -> None:
        raise AttributeError(self._text)


def _repr(self: Any) -> str:
    return f"<{type(self).__name__} {self.__dict__.get('id', 'new')}>"


def add_foreign_key(held: ForeignKeyPlan, metadata: MetaData) -> None:
    """Add the relationships at both ends of a relation, and the key column to a host that is already mapped."""
    host, other = _mapper(held.host.mapped_class), _mapper(held.other.mapped_class)
    if held.column_attribute is not None and held.host.mapper is not None:
        held.host.table.append_column(held.column)
        (unique if held.relation.type == "1:1" else index)(metadata, held.host.table_name, held.column)
        host.add_property(held.column_attribute, held.column)
    key = held.other.key
    joined: dict[str, Any] = {
        "primaryjoin": held.column == key,
        "foreign_keys": [held.column],
        "post_update": held.closes_cycle,
        "info": {RELATION_KEY: held.relation.name},
    }
    cascade = "all, delete-orphan" if held.relation.is_target_reliance else "save-update, merge"
    is_many = held.relation.type != "1:1"
    to_other = _End(host, held.attribute, {**joined, "remote_side": [key], "uselist": False})
    to_host = _End(
        other, held.reverse, {**joined, "remote_side": [held.column], "uselist": is_many, "cascade": cascade}
    )
    missing = [
        end for end, at in ((to_other, held.host), (to_host, held.other)) if not at.has_relationship(end.attribute)
    ]
    if len(missing) == 2:
        _relate(to_other, to_host)
    elif missing:
        (end,) = missing
        back = to_host if end is to_other else to_other
        end.add(back, back_populates=back.attribute)


@dataclass(frozen=True, slots=True)
class _End:
    """A relationship to be added: mapper, attribute and options."""

    mapper: Mapper[Any]
    attribute: str
    options: dict[str, Any]

    def add(self, other: _End, **options: Any) -> None:
        """Add the relationship, with the class of ``other`` as its target."""
        self.mapper.add_property(self.attribute, relationship(other.mapper.class_, **self.options, **options))


def _relate(one: _End, other: _End) -> None:
    """Add a relationship and its reverse."""
    for near, far in ((one, other), (other, one)):
        if near.mapper.configured:
            # a configured mapper initializes the relationship at once, before its reverse exists
            near.add(far, backref=backref(far.attribute, **far.options))
            return
    one.add(other, back_populates=other.attribute)
    other.add(one, back_populates=one.attribute)


def add_link(held: LinkPlan) -> None:
    """Relate the class of a relation to both ends, and the ends to each other through its table.

    The relationships through the table are view-only, because its rows are records of their own. The links of a deleted
    end are deleted by the session, so that each delete is flushed as a write.
    """
    relation = held.relation
    link = Catalog.of(held.source.metadata).classes[relation.name]
    link_mapper = _mapper(link)
    links = link_mapper.local_table.c
    ends = (
        ("source", held.source, relation.source_property, "target", held.target, relation.type in ("1:n", "n:n")),
        ("target", held.target, relation.target_property, "source", held.source, relation.type in ("n:1", "n:n")),
    )
    for side, end, attribute, far_side, far, many in ends:
        near_column, far_column = links[f"{side}_id"], links[f"{far_side}_id"]
        mapper = _mapper(end.mapped_class)
        joined: dict[str, Any] = {"primaryjoin": near_column == end.key, "foreign_keys": [near_column]}
        to_links = {"remote_side": [near_column], "uselist": many, "cascade": "save-update, merge, delete"}
        to_end: dict[str, Any] = {"remote_side": [end.key], "uselist": False}
        if side == "target" and relation.is_target_reliance:
            to_end["cascade"] = "save-update, merge, delete"  # deleting a source deletes its targets
        _relate(
            _End(link_mapper, side, {**joined, **to_end}),
            _End(mapper, f"{attribute}_links", {**joined, **to_links}),
        )
        mapper.add_property(
            attribute,
            relationship(
                far.mapped_class,
                secondary=link_mapper.local_table,
                primaryjoin=end.key == near_column,
                secondaryjoin=far.key == far_column,
                foreign_keys=[near_column, far_column],
                uselist=many,
                viewonly=True,
                info={RELATION_KEY: relation.name},
            ),
        )


def add_input_link(held: LinkPlan, merged: str) -> None:
    """Relate the ends of an input of a merged relation through the rows of the input.

    All its relationships are view-only: the merged relation has those that delete the links of a deleted end.
    """
    relation, catalog = held.relation, Catalog.of(held.source.metadata)
    link = catalog.classes[relation.name]
    table: Any = _mapper(catalog.classes[merged]).local_table
    of_input = table.c[RECORD_TYPE] == relation.name
    ends = (
        ("source", held.source, relation.source_property, "target", held.target),
        ("target", held.target, relation.target_property, "source", held.source),
    )
    for side, end, attribute, far_side, far in ends:
        near_column, far_column = table.c[f"{side}_id"], table.c[f"{far_side}_id"]
        options: dict[str, Any] = {
            "uselist": True,
            "viewonly": True,
            "info": {RELATION_KEY: relation.name, NEAR_KEY: side},
        }
        to_links = relationship(
            link, primaryjoin=near_column == end.key, foreign_keys=[near_column], remote_side=[near_column], **options
        )
        to_far = relationship(
            far.mapped_class,
            secondary=table,
            primaryjoin=(end.key == near_column) & of_input,
            secondaryjoin=far.key == far_column,
            foreign_keys=[near_column, far_column],
            **options,
        )
        _mapper(end.mapped_class).add_property(f"{attribute}_links", to_links)
        _mapper(end.mapped_class).add_property(attribute, to_far)


def _mapper(cls: type[Any]) -> Mapper[Any]:
    return class_mapper(cls, configure=False)
