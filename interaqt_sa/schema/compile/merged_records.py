"""Plan merged entities: several input entities in one table, with a column for the kind of each row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Column, MetaData, String
from sqlalchemy.orm import registry

from ...definitions.records import Entity, Property, Relation, ref_name
from ...definitions.type_aliases import RecordRef
from ...errors import DefinitionFault
from ..computed import INPUT_KEY
from ..faults import Faults
from ..merged_lookup import RECORD_TYPE
from ..metadata_state import Catalog
from .definition_checks import is_computation
from .mapping import map_class
from .relations import index
from .tables import TablePlan, property_column, table_name
from .valid_parts import properties_of


@dataclass(slots=True)
class MergedPlan:
    """A merged entity to be compiled.

    :ivar plan: its table.
    :ivar inputs: the plans of the entities whose rows it contains, which share this table.
    :ivar groups: likewise the plans of its inputs that are merged themselves, each before its inputs.
    :ivar parents: for each of both the merged record whose input it is.
    """

    plan: TablePlan
    inputs: dict[str, TablePlan]
    groups: dict[str, TablePlan] = field(default_factory=dict[str, TablePlan])
    parents: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        return self.plan.definition.name

    @property
    def below(self) -> dict[str, TablePlan]:
        """All records that share the table, each after the one whose input it is."""
        return self.groups | self.inputs

    def leaves(self, name: str) -> list[str]:
        """Return the entities below one of :attr:`groups`."""
        return [leaf for leaf in self.inputs if name in self._above(leaf)]

    def absent(self, name: str) -> set[str]:
        """Return the column attributes that other records of the table have, and ``name`` does not."""
        own = set(self.below[name].columns)
        for group in self._above(name):
            of_leaves = {attribute for leaf in self.leaves(group) for attribute in self.inputs[leaf].columns}
            own |= self.groups[group].columns.keys() - of_leaves
        return {attribute for other in self.below.values() for attribute in other.columns} - own

    def _above(self, name: str) -> list[str]:
        return [above for above in _way_up(name, self.parents) if above in self.groups]


class MergedPlanner:
    """Plan merged entities.

    :param plans: the tables of entities; those of inputs are merged into one.
    """

    def __init__(self, metadata: MetaData, plans: dict[str, TablePlan], faults: Faults) -> None:
        self._metadata = metadata
        self._catalog = Catalog.of(metadata)
        self._plans = plans
        self._faults = faults
        self._owners: dict[str, str] = {}

    def plan_all(self, definitions: Mapping[str, Entity]) -> list[MergedPlan]:
        """Return the plans of the merged entities without faults; they are added to the plans of entities."""
        found: list[MergedPlan] = []
        nested: set[str] = set()
        for definition in definitions.values():
            with suppress(DefinitionFault):  # collected below
                nested |= definitions.keys() & set(_input_names(definition))
        for name in definitions:
            with self._faults.caught(name, record=name):
                if name not in nested or _is_circular(name, definitions):
                    found.append(self._plan(definitions, name))
        return found

    def plan_relations(self, relations: Mapping[str, Relation]) -> list[MergedPlan]:
        """Return the plans of merged relations, whose tables are planned already."""
        found: list[MergedPlan] = []
        for name, relation in relations.items():
            with self._faults.caught(name, record=name):
                inputs = {input_name: self._plans[input_name] for input_name in map(ref_name, relation.input_relations)}
                found.append(self._merge(self._plans[name], inputs))
        return found

    def _plan(self, definitions: Mapping[str, Entity], name: str) -> MergedPlan:
        parents: dict[str, str] = {}
        inputs = dict(self._leaves(definitions, name, parents))
        merged = TablePlan(definitions[name], table_name(definitions[name]))
        found = self._merge(merged, inputs)
        found.parents = parents
        for group in (group for group in parents if group in definitions):
            columns = {
                a: c for leaf in inputs if group in _way_up(leaf, parents) for a, c in inputs[leaf].columns.items()
            }
            plan = TablePlan(
                definitions[group], merged.name, columns={RECORD_TYPE: merged.columns[RECORD_TYPE], **columns}
            )
            plan.attributes |= columns.keys() | {RECORD_TYPE}
            plan.share(merged)
            found.groups[group] = self._plans[group] = plan
        self._plans[name] = merged
        return found

    def _merge(self, merged: TablePlan, inputs: dict[str, TablePlan]) -> MergedPlan:
        definition = merged.definition
        merged.columns[RECORD_TYPE] = kind = Column(RECORD_TYPE, String, nullable=False)
        merged.items.append(index(self._metadata, merged.name, kind))
        merged.attributes.add(RECORD_TYPE)
        listed: dict[str, dict[str, Property]] = {}
        for name, plan in inputs.items():
            for prop in properties_of(plan.definition):
                if prop.name in plan.columns:
                    listed.setdefault(prop.name, {})[name] = prop
        for attribute, given in listed.items():
            with self._faults.caught(f"{definition.name}.{attribute}", record=definition.name, property=attribute):
                column = _merged_column(definition.name, given, is_common=len(given) == len(inputs))
                merged.add_column(attribute, column, self._faults)
                for name in given:
                    inputs[name].columns[attribute] = column
        if isinstance(definition, Entity):
            self._check_common(definition, listed, inputs)
        for plan in inputs.values():
            plan.columns = {RECORD_TYPE: merged.columns[RECORD_TYPE], **plan.columns}
            plan.attributes.add(RECORD_TYPE)
            plan.share(merged)
        return MergedPlan(merged, inputs)

    def _leaves(
        self, definitions: Mapping[str, Entity], name: str, parents: dict[str, str]
    ) -> Iterator[tuple[str, TablePlan]]:
        """Yield the entities below a merged one, and add the record above each record to ``parents``."""
        definition = definitions[name]
        for ref in _input_names(definition):
            if ref == name or ref in _way_up(name, parents):
                raise DefinitionFault(f"it is an input of itself, by way of {name!r}")
            if (other := self._owners.setdefault(ref, name)) != name:
                raise DefinitionFault(f"its input {ref!r} is an input of {other!r} too; an entity has one table")
            parents[ref] = name
            if ref in definitions:
                yield from self._leaves(definitions, ref, parents)
                continue
            if ref in self._catalog.classes or ref in self._catalog.filtered:
                raise DefinitionFault(f"its input {ref!r} has a table of its own already; compile both in one call")
            plan = self._plans.get(ref)
            if plan is None or not isinstance(plan.definition, Entity):
                raise DefinitionFault(
                    f"its input {ref!r} is not an entity of the same call; inputs are entities with properties of "
                    "their own, not relations or mapped classes"
                )
            if plan.definition.table_name is not None or plan.definition.table_args:
                raise DefinitionFault(
                    f"{ref!r} has the table of {definition.name!r}; give table_name= and table_args= there"
                )
            if plan.definition.identity is not None:
                raise DefinitionFault(
                    f"{ref!r} has identity=, but rows of other inputs of {definition.name!r} have no values there; "
                    "give a UniqueConstraint instead, and refer to existing records by id"
                )
            if RECORD_TYPE in plan.attributes:
                raise DefinitionFault(
                    f"{ref}.{RECORD_TYPE}: merged entities have this attribute by themselves; rename it"
                )
            yield ref, plan

    def _check_common(
        self, definition: Entity, listed: Mapping[str, Mapping[str, Property]], inputs: Mapping[str, TablePlan]
    ) -> None:
        for common in definition.common_properties:
            given = listed.get(common.name, {})
            lacking = [name for name in inputs if name not in given]
            other = [name for name, prop in given.items() if not _is_alike(prop, common)]
            for name in lacking or other:
                what = "lacks it" if lacking else "declares it with another type"
                self._faults.add(
                    f"{definition.name}.{common.name} is a common property, but {name} {what}",
                    record=definition.name,
                    property=common.name,
                )


def with_ends(merged: Mapping[str, Relation], relations: Mapping[str, Relation], faults: Faults) -> dict[str, Relation]:
    """Return merged relations with the ends and the type of their inputs."""
    found: dict[str, Relation] = {}
    owners: dict[str, str] = {}
    for name, relation in merged.items():
        with faults.caught(f"Relation {name!r}", record=name):
            found[name] = _with_ends(relation, relations, owners)
    return found


def _with_ends(merged: Relation, relations: Mapping[str, Relation], owners: dict[str, str]) -> Relation:
    names = list(dict.fromkeys(map(ref_name, merged.input_relations)))
    for name in names:
        if name not in relations:
            raise DefinitionFault(
                f"its input {name!r} is not a relation of the same call; inputs are relations with ends of their own, "
                "not filtered or merged ones"
            )
        if (other := owners.setdefault(name, merged.name)) != merged.name:
            raise DefinitionFault(f"its input {name!r} is an input of {other!r} too; a relation has one table")
    inputs = [relations[name] for name in names]
    ends = {(ref_name(relation.source), ref_name(relation.target)) for relation in inputs}
    if len(ends) > 1:
        raise DefinitionFault(f"its inputs have different ends: {', '.join(f'{a} to {b}' for a, b in sorted(ends))}")
    for relation in inputs:
        if relation.type != "n:n" or relation.source_property == relation.target_property:
            raise DefinitionFault(f"its input {relation.name!r} is {relation.type!r} or symmetric; inputs are 'n:n'")
    return Relation(
        name=merged.name,
        source=inputs[0].source,
        source_property=merged.source_property,
        target=inputs[0].target,
        target_property=merged.target_property,
        type="n:n",
        constraints=merged.constraints,
    )


def _input_names(definition: Entity) -> list[str]:
    return list(dict.fromkeys(map(_name_of, definition.input_entities)))


def _way_up(name: str, parents: Mapping[str, str]) -> list[str]:
    """Return the merged records above ``name``."""
    found: list[str] = []
    while (above := parents.get(name)) is not None and above not in found:
        found.append(above)
        name = above
    return found


def _is_circular(name: str, definitions: Mapping[str, Entity]) -> bool:
    waiting, seen = [name], set[str]()
    while waiting:
        for ref in _input_names(definitions[waiting.pop()]):
            if ref == name:
                return True
            if ref in definitions and ref not in seen:
                seen.add(ref)
                waiting.append(ref)
    return False


def _name_of(ref: RecordRef) -> str:
    if isinstance(ref, type):
        raise DefinitionFault(f"its input {ref.__name__!r} is a mapped class, which has a table of its own")
    return ref_name(ref)


def _is_alike(one: Property, other: Property) -> bool:
    def shape(prop: Property) -> tuple[Any, ...]:
        type_ = prop.type if isinstance(prop.type, (str, type)) else repr(prop.type)
        return type_, prop.collection, prop.column_name

    return shape(one) == shape(other)


def _merged_column(record: str, given: Mapping[str, Property], *, is_common: bool) -> Column[Any]:
    """Return the column of a property of one or several inputs.

    :raises DefinitionFault: if the inputs declare it differently.
    """
    (first_name, first), *others = given.items()
    for name, prop in others:
        if not _is_alike(prop, first):
            raise DefinitionFault(f"{first_name} and {name} declare it with different types; rename one of them")
        if is_computation(prop.computation) or is_computation(first.computation):
            raise DefinitionFault(f"{first_name} and {name} compute it, each from its own rows; rename one of them")
    is_computed = is_computation(first.computation)
    if not is_common and not first.nullable and not is_computed:
        raise DefinitionFault(
            f"{first_name} requires it, but rows of other inputs of {record} have no value; leave nullable=False out, "
            "or declare it for all inputs"
        )
    defaults = {name: prop.default for name, prop in given.items()}
    nullable = any(prop.nullable for prop in given.values())
    default: Any = first.default
    if any(value is not None for value in defaults.values()):
        default = _default_by_type(defaults)
    if first.computation is not None and is_computed:
        own = first.computation.restricted(lambda row: row.record_type == first_name)
        first = replace(first, computed=None, computation=own)
    column = property_column(replace(first, default=default, nullable=nullable))
    if is_computed:
        column.info[INPUT_KEY] = first_name
    return column


def _default_by_type(defaults: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return a default function that depends on the kind of the inserted row."""

    def default(context: Any) -> Any:
        given: dict[str, Any] = {} if context is None else context.get_current_parameters()
        value = defaults.get(str(given.get(RECORD_TYPE)))
        return value() if callable(value) else deepcopy(value)

    return default


def map_merged(merged: MergedPlan, home: registry, catalog: Catalog, table: Any) -> None:
    """Map the class of a merged entity, and those of its inputs as subclasses that share its table."""
    merged_class = map_class(
        home,
        merged.name,
        table,
        merged.plan.columns,
        None,
        polymorphic_on=table.c[RECORD_TYPE],
        polymorphic_abstract=True,
    )
    catalog.classes[merged.name] = merged_class
    catalog.definitions[merged.name] = merged.plan.definition
    below = merged.below
    for above in (merged.name, *merged.groups):
        catalog.merged[above] = tuple(name for name in below if merged.parents.get(name, merged.name) == above)
    for name, plan in below.items():
        absent = merged.absent(name)
        parent = catalog.classes[merged.parents.get(name, merged.name)]
        kind = {"polymorphic_abstract": True} if name in merged.groups else {"polymorphic_identity": name}
        catalog.classes[name] = map_class(
            home,
            name,
            None,
            {},
            plan.definition.computation,
            base=parent,
            absent=absent,
            inherits=parent,
            exclude_properties=absent,
            **kind,
        )
        catalog.definitions[name] = plan.definition
