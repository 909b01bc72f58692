"""Plan filtered records, and add them to the mapped classes of their bases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.orm import Mapper, class_mapper, relationship

from ...definitions.computation import INFO_KEY
from ...definitions.filtered_membership import Membership
from ...definitions.records import Entity, Relation, ref_name
from ...definitions.type_aliases import RecordRef, Where
from ...errors import DefinitionFault
from ..computed import prepare_table
from ..faults import Faults
from ..filtered_record import FilteredRecord, membership_name
from ..metadata_state import Catalog
from ..record_lookup import record_name, resolve_record
from ..relationship_info_keys import FILTERED_KEY, NEAR_KEY, RELATION_KEY
from .definition_checks import base_of
from .endpoints import Endpoint
from .relations import is_symmetric
from .tables import TablePlan


class End(NamedTuple):
    """One end of a filtered relation: the record, and whether it has many links."""

    record: Endpoint
    is_many: bool


@dataclass(slots=True)
class FilteredPlan:
    """A filtered record to be compiled.

    :ivar root: the record that stores the rows: its name if it is being compiled, else its mapper.
    :ivar conditions: its condition and those of the filtered records that it is based on, the lowest first.
    :ivar ends: source and target of a filtered relation, with whether each has many links.
    """

    definition: Entity | Relation
    root: str | Mapper[Any]
    conditions: tuple[Where, ...]
    ends: tuple[End, End] | None = None

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def root_name(self) -> str:
        return self.root if isinstance(self.root, str) else record_name(self.root)


class FilteredPlanner:
    """Plan filtered records, each after the one that it is based on.

    :param plans: the tables that are being compiled.
    :param relations: the relations of the compilation, by name.
    :param endpoint: returns the endpoint of a relation.
    """

    def __init__(
        self,
        metadata: MetaData,
        plans: Mapping[str, TablePlan],
        relations: Mapping[str, Relation],
        endpoint: Callable[[RecordRef], Endpoint],
        faults: Faults,
    ) -> None:
        self._metadata = metadata
        self._catalog = Catalog.of(metadata)
        self._plans = plans
        self._relations = relations
        self._endpoint = endpoint
        self._faults = faults
        self._definitions: Mapping[str, Entity | Relation] = {}
        self._planned: dict[str, FilteredPlan] = {}

    def plan_all(self, definitions: Mapping[str, Entity | Relation]) -> list[FilteredPlan]:
        """Return the plans of the filtered records without faults, in the order in which they are compiled."""
        self._definitions = definitions
        for name in definitions:
            with self._faults.caught(name, record=name):
                self._plan(name, ())
        return list(self._planned.values())

    def _plan(self, name: str, above: tuple[str, ...]) -> FilteredPlan:
        if name in self._planned:
            return self._planned[name]
        definition = self._definitions[name]
        if name in above:
            raise DefinitionFault(f"it is based on itself: {' -> '.join((*above, name))}")
        base = base_of(definition)
        condition = definition.match_expression
        own: tuple[Where, ...] = () if condition is None else (condition,)
        below = ref_name(base)
        if not isinstance(base, type) and below in self._definitions:
            based = self._plan(below, (*above, name))
            plan = FilteredPlan(definition, based.root, (*based.conditions, *own))
        elif not isinstance(base, type) and (known := self._catalog.filtered.get(below)) is not None:
            mapper = class_mapper(known.base, configure=False)
            plan = FilteredPlan(definition, mapper, (*_conditions_of(self._catalog, known), *own))
        else:
            plan = FilteredPlan(definition, self._root(base), own)
        if isinstance(definition, Relation):
            plan.ends = self._ends(definition, plan.root_name)
        self._require_free_column(plan)
        self._planned[name] = plan
        return plan

    def _root(self, base: RecordRef) -> str | Mapper[Any]:
        if not isinstance(base, type) and (name := ref_name(base)) in self._plans:
            return name
        if not isinstance(base, type) and isinstance(self._catalog.definitions.get(ref_name(base)), Relation):
            name = ref_name(base)
            if name not in self._catalog.classes:
                raise DefinitionFault(
                    f"relation {name!r} is stored as a foreign key, which has no membership; compile both in one call, "
                    "so that the relation gets a table"
                )
        mapper = resolve_record(self._metadata, base, besides=self._plans.keys())
        if not isinstance(mapper.local_table, Table):
            raise DefinitionFault(f"{record_name(mapper)} is not mapped to a table; name the record that it reads")
        if any(m.concrete for m in mapper.iterate_to_root()):
            raise DefinitionFault(f"{record_name(mapper)} uses concrete inheritance, whose rows have no common table")
        return mapper

    def _ends(self, definition: Relation, root: str) -> tuple[End, End]:
        """Return the ends of a filtered relation, with its properties reserved."""
        relation = self._relations.get(root) or self._catalog.definitions.get(root)
        if not isinstance(relation, Relation):
            raise DefinitionFault(f"base_relation= names {root!r}, which is not a relation; make an Entity of it")
        if is_symmetric(relation):
            raise DefinitionFault(
                f"relation {root!r} is symmetric, and filtered relations of such relations are not available yet; make "
                "an Entity with base_entity="
            )
        ends = self._endpoint(relation.source), self._endpoint(relation.target)
        for end, attribute in zip(ends, (definition.source_property, definition.target_property), strict=True):
            for name in (attribute, f"{attribute}_links"):
                end.claim_for(f"filtered relation {definition.name!r}", name, self._faults)
        many = relation.type in ("1:n", "n:n"), relation.type in ("n:1", "n:n")
        return End(ends[0], many[0]), End(ends[1], many[1])

    def _require_free_column(self, plan: FilteredPlan) -> None:
        name = membership_name(plan.name)
        table: Any = None if isinstance(plan.root, str) else plan.root.local_table
        columns = self._plans[plan.root].columns.values() if isinstance(plan.root, str) else table.columns
        others = (other for other in self._planned.values() if other.root == plan.root)
        if any(membership_name(other.name) == name for other in others):
            raise DefinitionFault(
                f"another filtered record of {plan.root_name} marks its members in {name!r}; rename it"
            )
        if any(column.name == name for column in columns):
            raise DefinitionFault(
                f"its members are marked in a column {name!r}, but {plan.root_name} has a column of that name; rename "
                "one of them"
            )


def _conditions_of(catalog: Catalog, filtered: FilteredRecord) -> tuple[Where, ...]:
    column: Any = filtered.membership.property.columns[0]
    computation: Membership = column.info[INFO_KEY]
    return computation.conditions


def add_filtered(plan: FilteredPlan, catalog: Catalog) -> None:
    """Add the membership column to the table and the class of the base, and the properties of a filtered relation."""
    cls = catalog.classes[plan.root] if isinstance(plan.root, str) else plan.root.class_
    mapper: Mapper[Any] = class_mapper(cls, configure=False)
    name = membership_name(plan.name)
    column = Column(name, Integer, Membership(plan.name, plan.conditions), nullable=False)
    table: Any = mapper.local_table
    table.append_column(column)
    prepare_table(table)
    mapper.add_property(name, column)
    catalog.filtered[plan.name] = FilteredRecord(plan.definition, cls, name)
    if plan.ends is not None and isinstance(plan.definition, Relation):
        _add_properties(plan.definition, plan.root_name, plan.ends, cls, column)


def _add_properties(
    definition: Relation, root: str, ends: tuple[End, End], link: type[Any], membership: Column[Any]
) -> None:
    """Add the read-only relationships from the ends to the links that are members, and to their other ends."""
    links = membership.table.c
    source, target = ends
    for side, attribute, (end, is_many), far_side, (far, _) in (
        ("source", definition.source_property, source, "target", target),
        ("target", definition.target_property, target, "source", source),
    ):
        near_column, far_column = links[f"{side}_id"], links[f"{far_side}_id"]
        mapper: Mapper[Any] = class_mapper(end.mapped_class, configure=False)
        options: dict[str, Any] = {
            "uselist": is_many,
            "viewonly": True,
            "info": {RELATION_KEY: root, FILTERED_KEY: definition.name, NEAR_KEY: side},
        }
        to_links = relationship(
            link,
            primaryjoin=(near_column == end.key) & (membership > 0),
            foreign_keys=[near_column],
            remote_side=[near_column, membership],
            **options,
        )
        to_far = relationship(
            far.mapped_class,
            secondary=membership.table,
            primaryjoin=(end.key == near_column) & (membership > 0),
            secondaryjoin=far.key == far_column,
            foreign_keys=[near_column, far_column],
            **options,
        )
        mapper.add_property(f"{attribute}_links", to_links)
        mapper.add_property(attribute, to_far)
