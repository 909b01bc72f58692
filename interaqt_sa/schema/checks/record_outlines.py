"""Outlines of records, mapped or not yet mapped: the names that computations may use."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Column, MetaData
from sqlalchemy.orm import ColumnProperty, Mapper, RelationshipDirection, RelationshipProperty, class_mapper

from ...definitions.records import Relation, ref_name
from ...definitions.short_repr import similar
from ...definitions.type_aliases import RecordRef
from ...dialects.column_types import id_type
from ...errors import DefinitionFault
from ..compile.definition_checks import has_known_type, may_have_more
from ..compile.filtered_records import FilteredPlan
from ..compile.new_definitions import ends_of
from ..compile.relations import holding_side
from ..compile.tables import TablePlan
from ..compile.valid_parts import properties_of
from ..faults import NotYetKnown
from ..filtered_lookup import filtered_record
from ..foreign_key_relations import is_held_relation
from ..metadata_state import Catalog
from ..record_lookup import is_configured, no_rows, record_name, resolve_record
from .non_column_attributes import describe, of_no_column


@dataclass(frozen=True, slots=True)
class Way:
    """A relationship of a record.

    :ivar is_many: whether it is a collection; ``None`` if SQLAlchemy has not determined it yet.
    :ivar by_key: whether the record itself has the referring key; ``None`` likewise.
    :ivar is_declared: whether that key is a foreign key.
    :ivar key: identifies the relationship and its reverse; ``None`` if it is not known.
    """

    target: Callable[[], Outline]
    is_many: bool | None
    by_key: bool | None
    is_declared: bool = True
    key: Hashable = None


@dataclass(eq=False, slots=True)
class Outline:
    """The known attributes of a record.

    :ivar columns: columns by attribute; ``None`` if the column is not known.
    :ivar ways: relationships by attribute; ``None`` if the target is not known.
    :ivar is_open: whether it may have attributes that are not listed.
    :ivar mapped_class: the class, once it is mapped.
    """

    name: str
    columns: dict[str, Any]
    ways: dict[str, Way | None] = field(default_factory=dict[str, Way | None])
    is_open: bool = False
    mapped_class: type[Any] | None = None

    @property
    def stored(self) -> set[Column[Any]]:
        """All known columns of the record's tables."""
        mapper: Mapper[Any] | None = None if self.mapped_class is None else class_mapper(self.mapped_class, False)
        tables = () if mapper is None else mapper.tables
        columns = [*self.columns.values(), *(column for table in tables for column in table.columns)]
        return {column for column in columns if isinstance(column, Column)}

    def way(self, name: object) -> Way:
        """Return the relationship ``name``.

        :raises DefinitionFault: if there is none.
        """
        if isinstance(name, str) and name in self.ways:
            found = self.ways[name]
            if found is None:
                raise NotYetKnown(name)
            return found
        if not isinstance(name, str):
            hint = "a whole table is computed into a Dictionary, not into a column"
        elif self.is_open:
            raise NotYetKnown(name)
        elif (other := describe(self.mapped_class, name)) is not None:
            raise DefinitionFault(f"{name!r} {other}")
        else:
            near = similar(name, list(self.ways)) or list(self.ways)
            hint = f"did you mean {', '.join(map(repr, near))}?" if near else "it has none"
            hint += " (it is a column)" if name in self.columns else ""
        raise DefinitionFault(f"{name!r} is not a relationship of {self.name}; {hint}")

    def column(self, path: str) -> Column[Any]:
        """Return the column at the end of an x:1 path.

        :raises DefinitionFault: if there is no such path.
        """
        record, last = self.follow(path), path.rpartition(".")[2]
        if last not in record.columns:
            if record.is_open or record.ways.get(last, last) is None:
                raise NotYetKnown(path)
            if (other := describe(record.mapped_class, path)) is not None:
                raise DefinitionFault(f"{path!r} {other}")
            near = similar(last, list(record.columns)) or list(record.columns)
            raise DefinitionFault(f"{path!r}: {record.name} has no column attribute {last!r}; it has {', '.join(near)}")
        found = record.columns[last]
        if found is None:
            raise NotYetKnown(path)
        if not isinstance(found, Column):
            raise DefinitionFault(f"{path!r} is a SQL expression, not a stored column, {of_no_column(last)}")
        return found  # pyright: ignore[reportUnknownVariableType]

    def follow(self, path: str) -> Outline:
        """Return the record that has the attribute at the end of an x:1 path.

        :raises DefinitionFault: if there is no such path.
        """
        steps = path.split(".")[:-1]
        if steps and steps[0] == "&":
            raise DefinitionFault(f"{path!r}: link data is reached through the link record's own relationship")
        record = self
        for step in steps:
            way = record.way(step)
            if way.by_key is False:
                raise DefinitionFault(
                    f"{path!r}: {step!r} does not refer to one row by a foreign key of {record.name}; "
                    "aggregate it there first"
                )
            record = way.target()
            if not way.is_declared:
                raise no_foreign_key(record.name)
        return record

    def has(self, attribute: object) -> bool:
        """Whether the record has, or may have, an attribute of that name."""
        return self.is_open or (isinstance(attribute, str) and (attribute in self.columns or attribute in self.ways))


def no_foreign_key(name: str) -> DefinitionFault:
    """Return the fault of a path that does not follow a foreign key."""
    return DefinitionFault(
        f"the path to {name} does not follow a foreign key, so that its rows cannot be locked while they are read; "
        "declare the ForeignKey"
    )


class Outlines:
    """The outlines of all records: of mapped classes, and of one compilation's definitions.

    :param plans: the tables of definitions that are not mapped yet.
    :param relations: the relations between them, by name.
    :param filtered: the filtered records that are being compiled.
    :param disputed: names of records with conflicting definitions.
    :param unplanned: relations that are not in ``relations`` because of a fault.
    :ivar planned: the outlines of ``plans``.
    """

    def __init__(
        self,
        metadata: MetaData,
        plans: Mapping[str, TablePlan] | None = None,
        relations: Mapping[str, Relation] | None = None,
        *,
        filtered: Iterable[FilteredPlan] = (),
        disputed: Iterable[str] = (),
        unplanned: Iterable[Relation] = (),
    ) -> None:
        self._metadata = metadata
        self._filtered = {plan.name: plan.root for plan in filtered}
        self.planned = {name: _outline_of_plan(plan) for name, plan in (plans or {}).items()}
        self._relations = relations or {}
        self._mapped: dict[Mapper[Any], Outline] = {}
        self._disputed = frozenset(disputed)
        for relation in self._relations.values():
            self._relate(relation)
        for relation in (*unplanned, *(r for r in self._relations.values() if not has_known_type(r))):
            self._note_unknown(relation)
        for members in filtered:
            if members.ends is not None and isinstance(members.definition, Relation):
                properties = members.definition.source_property, members.definition.target_property
                for (end, _), attribute in zip(members.ends, properties, strict=True):
                    if end.name in self.planned:
                        self.planned[end.name].ways |= {attribute: None, f"{attribute}_links": None}

    def find(self, ref: RecordRef) -> Outline:
        """Return the outline of the record that ``ref`` refers to; for a filtered record that of its base.

        :raises DefinitionFault: if there is no such record.
        """
        if self.is_filtered(ref):
            return self._base(ref)
        if not isinstance(ref, type) and (entity := getattr(ref, "entity", None)) is not None:
            ref = entity
        if not isinstance(ref, type) and not getattr(ref, "is_mapper", False):
            name = ref_name(ref)
            if name in self._disputed:
                raise NotYetKnown(name)
            if name in self.planned:
                return self.planned[name]
            if name in self._relations:
                raise no_rows(name)
        return self.of(resolve_record(self._metadata, ref, besides=self.planned.keys()))

    def is_filtered(self, ref: RecordRef) -> bool:
        """Whether ``ref`` names a filtered record."""
        if filtered_record(self._metadata, ref) is not None:
            return True
        return not isinstance(ref, type) and _name(ref) in self._filtered

    def _base(self, ref: RecordRef) -> Outline:
        if (known := filtered_record(self._metadata, ref)) is not None:
            return self.of(class_mapper(known.base, configure=False))
        root = self._filtered[_name(ref)]
        return self.planned[root] if isinstance(root, str) else self.of(root)

    def is_held(self, ref: RecordRef) -> bool:
        """Whether ``ref`` names a relation that a foreign key holds."""
        if isinstance(ref, type) or getattr(ref, "is_mapper", False):
            return False
        name = _name(ref)
        if name in self._disputed:
            return False
        is_planned = name in self._relations and name not in self.planned
        return is_planned or is_held_relation(self._metadata, ref)

    def of(self, mapper: Mapper[Any]) -> Outline:
        """Return the outline of a mapped class."""
        if mapper not in self._mapped:
            self._mapped[mapper] = self._outline_of(mapper)
        return self._mapped[mapper]

    def _outline_of(self, mapper: Mapper[Any]) -> Outline:
        """Return the outline of a class without configuring it, which would fail for good before all classes exist."""
        # functions of where= may use the class in ways that configure it
        found = Outline(record_name(mapper), {}, mapped_class=mapper.class_ if mapper.configured else None)
        # Mapper.attrs would configure the mappers
        for name, prop in mapper._props.items():  # pyright: ignore[reportPrivateUsage]
            if isinstance(prop, ColumnProperty):
                found.columns[name] = prop.columns[0]
            elif isinstance(prop, RelationshipProperty):
                found.ways[name] = self._way_of(prop)
                found.is_open = found.is_open or found.ways[name] is None
        if not mapper.configured:
            found.ways |= {name: None for name in self._backrefs if name not in found.ways}
        return found

    def _way_of(self, prop: RelationshipProperty[Any]) -> Way | None:
        if is_configured(prop):
            by_key = prop.direction is RelationshipDirection.MANYTOONE
            is_declared = not by_key or _is_declared(prop)
            return Way(lambda: self.of(prop.mapper), bool(prop.uselist), by_key, is_declared, _pairs(prop))
        target: Any = prop.argument
        if callable(target) and not isinstance(target, type):
            try:
                target = target()
            except Exception:  # noqa: BLE001  the function may use names that are not imported yet
                return None
        try:
            mapper = resolve_record(self._metadata, target)
        except DefinitionFault:
            return None
        return Way(lambda: self.of(mapper), prop.uselist, None)

    @cached_property
    def _backrefs(self) -> set[str]:
        """Names of backrefs that other classes add to their targets."""
        found: set[str] = set()
        for mapper in Catalog.of(self._metadata).all_mappers():
            for prop in mapper._props.values():  # pyright: ignore[reportPrivateUsage]
                if isinstance(prop, RelationshipProperty) and prop.backref is not None:
                    found.add(prop.backref if isinstance(prop.backref, str) else prop.backref[0])
        return found

    def _relate(self, relation: Relation) -> None:
        """Add the relationships that ``relation`` creates."""
        is_known = has_known_type(relation)
        own = self.planned.get(relation.name)
        side = None if own is not None else holding_side(relation)
        ends = (
            ("source", relation.source, relation.source_property, relation.target, ("1:n", "n:n")),
            ("target", relation.target, relation.target_property, relation.source, ("n:1", "n:n")),
        )
        for here, near, attribute, far, many in ends:
            is_many, by_key = (relation.type in many, here == side) if is_known else (None, None)
            outline = self._or_none(near) or Outline("", {})
            way = Way(lambda far=far: self._end(far), is_many, by_key, key=relation.name)  # type: ignore[misc]
            if outline.ways.get(attribute) is None:
                outline.ways[attribute] = way
            if own is not None:
                key = relation.name, here
                outline.ways.setdefault(f"{attribute}_links", Way(lambda: own, is_many, by_key=False, key=key))
                own.ways[here] = Way(lambda near=near: self._end(near), is_many=False, by_key=True, key=key)  # type: ignore[misc]
            elif here == side:
                outline.columns.setdefault(f"{attribute}_id", None)

    def _note_unknown(self, relation: Relation) -> None:
        for name, attribute in ends_of(relation):
            outline = self.planned.get(name)
            if outline is not None:
                unknown: dict[str, Way | None] = {attribute: None, f"{attribute}_links": None}
                outline.ways = unknown | outline.ways

    def _or_none(self, ref: RecordRef) -> Outline | None:
        try:
            return self.find(ref)
        except DefinitionFault:
            return None

    def _end(self, ref: RecordRef) -> Outline:
        found = self._or_none(ref)
        if found is None:
            raise NotYetKnown(f"{ref!r} is missing, which is a fault of the relation")
        return found


def _name(ref: Any) -> str:
    name = ref if isinstance(ref, str) else getattr(ref, "name", None)
    return name if isinstance(name, str) else ""


def _pairs(prop: RelationshipProperty[Any]) -> Hashable:
    return frozenset(frozenset(pair) for pair in prop.local_remote_pairs or ())


def _is_declared(prop: RelationshipProperty[Any]) -> bool:
    pairs = prop.local_remote_pairs or ()
    return all(any(key.column is remote for key in local.foreign_keys) for local, remote in pairs)


def _outline_of_plan(plan: TablePlan) -> Outline:
    declared = {prop.name for prop in properties_of(plan.definition)}
    unknown: dict[str, Any] = dict.fromkeys(plan.faulty & declared)
    columns = {**unknown, "id": Column("id", id_type()), **plan.columns}
    ways: dict[str, Way | None] = dict.fromkeys(plan.faulty - declared)
    return Outline(plan.definition.name, columns, ways, is_open=may_have_more(plan.definition))
