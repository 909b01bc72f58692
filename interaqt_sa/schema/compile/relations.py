"""Plan relations as foreign keys or as link tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.schema import SchemaItem

from ...definitions.records import Relation
from ...definitions.type_aliases import RecordRef
from ...errors import DefinitionFault
from ..faults import Faults
from ..merged_lookup import RECORD_TYPE
from ..naming import fit_identifier, snake_case
from .definition_checks import LINK_ATTRIBUTES, has_known_type
from .endpoints import Endpoint, Endpoints
from .new_definitions import ends_of
from .tables import TablePlan, plan_table


@dataclass(slots=True)
class ForeignKeyPlan:
    """A relation stored in a foreign key.

    :ivar host: the record with the foreign key.
    :ivar attribute: the relationship from ``host`` to ``other``.
    :ivar reverse: the relationship from ``other`` to ``host``.
    :ivar column: the foreign key column.
    :ivar column_attribute: its attribute on a host that does not have it yet.
    :ivar closes_cycle: whether the key closes a foreign-key cycle, so that it is written after both rows.
    """

    relation: Relation
    host: Endpoint
    attribute: str
    other: Endpoint
    reverse: str
    column: Column[Any]
    column_attribute: str | None
    closes_cycle: bool = False


@dataclass(slots=True)
class LinkPlan:
    """A relation with rows of its own, stored in the table ``plan``.

    :ivar is_symmetric: whether its ends are not distinguished.
    """

    relation: Relation
    plan: TablePlan
    source: Endpoint
    target: Endpoint
    is_symmetric: bool = False


def is_symmetric(relation: Relation) -> bool:
    """Whether both ends of a relation have the same property; it is symmetric if they are the same record too."""
    return relation.source_property == relation.target_property


def needs_table(relation: Relation, endpoints: set[str]) -> bool:
    """Whether ``relation`` has rows of its own.

    :param endpoints: names of the records that relations refer to; a relation may be among them.
    """
    return bool(
        relation.type == "n:n"
        or relation.properties
        or relation.computation is not None
        or relation.constraints
        or relation.name in endpoints
    )


def holding_side(relation: Relation) -> Literal["source", "target"]:
    """Return the end that has the foreign key of a relation without a table."""
    # in a 1:1 relation the dependent side, by default the source
    return "target" if relation.type == "1:n" or relation.is_target_reliance else "source"


class RelationPlanner:
    """Plan relations into the tables of their endpoints.

    :param relations: all relations of the compilation, by name.
    :param bases: the records that its filtered records are based on, by name.
    """

    def __init__(
        self,
        metadata: MetaData,
        plans: dict[str, TablePlan],
        relations: dict[str, Relation],
        faults: Faults,
        bases: Mapping[str, RecordRef] | None = None,
    ) -> None:
        self._metadata = metadata
        self._plans = plans
        self._relations = relations
        self._endpoints = Endpoints(metadata, plans, bases)
        self._faults = faults
        self._adopted: set[Column[Any]] = set()
        self._added: set[tuple[Table, str]] = set()

    def endpoint(self, ref: RecordRef) -> Endpoint:
        """Return the endpoint that ``ref`` refers to, with the attributes that relations claim.

        :raises DefinitionFault: as for :meth:`.Endpoints.find`.
        """
        return self._endpoints.find(ref)

    def plan_all(self) -> list[ForeignKeyPlan | LinkPlan]:
        """Return the plans of all relations without faults."""
        planned: list[ForeignKeyPlan | LinkPlan] = []
        # merged relations first: their inputs share the columns
        for relation in sorted(self._relations.values(), key=self._shares_table):
            held = self._plan(relation)
            if held is not None:
                planned.append(held)
                continue
            # computations that name the attributes of a faulty relation have no fault of their own
            for name, attribute in ends_of(relation):
                if name in self._plans:
                    self._plans[name].faulty.add(attribute)
            if relation.name in self._plans:
                self._plans[relation.name].faulty |= LINK_ATTRIBUTES
        return planned

    def _shares_table(self, relation: Relation) -> bool:
        plan = self._plans.get(relation.name)
        return plan is not None and plan.merged is not None

    def _plan(self, relation: Relation) -> ForeignKeyPlan | LinkPlan | None:
        ends: list[Endpoint] = []
        for side, ref in (("source", relation.source), ("target", relation.target)):
            with self._faults.caught(f"Relation {relation.name!r}, {side}", record=relation.name, property=side):
                ends.append(self._endpoints.find(ref))
        if len(ends) < 2 or not has_known_type(relation):
            return None
        source, target = ends
        if source is target and is_symmetric(relation) and relation.type != "n:n":
            self._faults.add(
                f"Relation {relation.name!r} has the same property at both ends of {source.name}, so it is symmetric, "
                f"which only 'n:n' can be, not {relation.type!r}; give it two property names, or make it 'n:n'",
                record=relation.name,
                property=relation.source_property,
            )
            return None
        if relation.name in self._plans:
            return self._link(relation, self._plans[relation.name], source, target)
        held: list[ForeignKeyPlan] = []
        with self._faults.caught(f"Relation {relation.name!r}", record=relation.name):
            held.append(self._foreign_key(relation, source, target))
        return held[0] if held else None

    def _foreign_key(self, relation: Relation, source: Endpoint, target: Endpoint) -> ForeignKeyPlan:
        on_target = holding_side(relation) == "target"
        host, other = (target, source) if on_target else (source, target)
        attribute, reverse = relation.source_property, relation.target_property
        if on_target:
            attribute, reverse = reverse, attribute
        column_attribute = None
        column = self._existing_key(relation, host, other, attribute)
        if column is None:
            column_attribute = f"{attribute}_id"
            self._claim(relation, host, column_attribute)
            column = self._new_key(relation, host, other, attribute)
        if host.plan is not None:
            host.plan.references[attribute] = column
        for end, name, far, is_many in (
            (host, attribute, other, False),
            (other, reverse, host, relation.type != "1:1"),
        ):
            if not end.has_relationship(name):
                self._claim(relation, end, name)
            elif not end.leads_to(name, far, is_many=is_many):
                wanted = f"{'many' if is_many else 'one'} {far.name}"
                raise DefinitionFault(
                    f"{end.name}.{name} is a relationship of the class, but not one to {wanted}; "
                    "rename the relation's property, or fix the relationship"
                )
        return ForeignKeyPlan(relation, host, attribute, other, reverse, column, column_attribute)

    def _new_key(self, relation: Relation, host: Endpoint, other: Endpoint, attribute: str) -> Column[Any]:
        name = fit_identifier(f"{snake_case(attribute)}_id")
        column = foreign_key_column(self._metadata, host.table_name, name, other, nullable=True)
        if host.plan is not None:
            host.plan.add_column(f"{attribute}_id", column, self._faults)
            host.plan.items.append(
                unique(self._metadata, host.table_name, column)
                if relation.type == "1:1"
                else index(self._metadata, host.table_name, column)
            )
        elif name in host.table.columns or (host.table, name) in self._added:
            raise DefinitionFault(
                f"{host.name} has a column {name!r} that is not a foreign key to {other.name}; "
                f"make it one, or rename the relation property {attribute!r}"
            )
        else:
            self._added.add((host.table, name))
        return column

    def _existing_key(self, relation: Relation, host: Endpoint, other: Endpoint, attribute: str) -> Column[Any] | None:
        """Return the existing foreign key of a mapped class that can store ``relation``, if there is one."""
        wanted = f"{snake_case(attribute)}_id"
        free = [column for column in host.foreign_keys_to(other) if column not in self._adopted]
        named = [column for column in free if column.name == wanted]
        meant = {f"{snake_case(name)}_id" for r in self._relations.values() if r is not relation for name in _sides(r)}
        found = named or [column for column in free if column.name not in meant]
        if len(found) > 1:
            columns = ", ".join(column.name for column in found)
            raise DefinitionFault(
                f"{host.name} has several foreign keys to {other.name} ({columns}); name the relation property after "
                f"the one that is meant, such as {found[0].name.removesuffix('_id')!r}"
            )
        self._adopted.update(found)
        return found[0] if found else None

    def _link(self, relation: Relation, plan: TablePlan, source: Endpoint, target: Endpoint) -> LinkPlan:
        if plan.merged is not None:
            plan.references |= plan.merged.references
            plan.columns |= {f"{side}_id": column for side, column in plan.merged.references.items()}
            self._claim_ends(relation, source, target)
            return LinkPlan(relation, plan, source, target)
        keys = {
            side: foreign_key_column(self._metadata, plan.name, f"{side}_id", end, nullable=False)
            for side, end in (("source", source), ("target", target))
        }
        for name, column in plan.columns.items():
            if column.name in LINK_ATTRIBUTES:
                self._faults.add(
                    f"{relation.name}.{name}: the table has a column {column.name!r} by itself; "
                    "rename the property or give column_name=",
                    record=relation.name,
                    property=name,
                )
        plan.columns = {f"{side}_id": column for side, column in keys.items()} | plan.columns
        plan.references |= keys
        if (kind := plan.columns.get(RECORD_TYPE)) is not None:
            plan.items.append(unique(self._metadata, plan.name, kind, keys["source"], keys["target"]))
            plan.items += (index(self._metadata, plan.name, key) for key in keys.values())
        else:
            plan.items += _pair_items(self._metadata, relation, plan.name, keys["source"], keys["target"])
        if source is target and is_symmetric(relation):
            # one row for two records: the smaller key is the source, so that the pair is unique in both directions
            name = fit_identifier(f"ck_{plan.name}_ordered")
            plan.items.append(CheckConstraint(keys["source"] <= keys["target"], name=name))
            for suffix in ("", "_links", "_source_links", "_target_links"):
                self._claim(relation, source, f"{relation.source_property}{suffix}")
            return LinkPlan(relation, plan, source, target, is_symmetric=True)
        self._claim_ends(relation, source, target)
        return LinkPlan(relation, plan, source, target)

    def _claim_ends(self, relation: Relation, source: Endpoint, target: Endpoint) -> None:
        for end, name in ((source, relation.source_property), (target, relation.target_property)):
            self._claim(relation, end, name)
            self._claim(relation, end, f"{name}_links")

    def _claim(self, relation: Relation, end: Endpoint, attribute: str) -> None:
        end.claim_for(f"relation {relation.name!r}", attribute, self._faults)


def plan_links(relations: dict[str, Relation], endpoints: set[str], faults: Faults) -> dict[str, TablePlan]:
    """Return the planned tables of the relations that have rows of their own."""
    planned = {
        name: plan_table(relation, faults) for name, relation in relations.items() if needs_table(relation, endpoints)
    }
    for plan in planned.values():
        plan.attributes |= LINK_ATTRIBUTES
    return planned


def _sides(relation: Relation) -> tuple[str, str]:
    return relation.source_property, relation.target_property


def _pair_items(
    metadata: MetaData, relation: Relation, table: str, source: Column[Any], target: Column[Any]
) -> list[SchemaItem]:
    # an end that may occur once is unique by itself; a unique key also serves as the index of its first column
    match relation.type:
        case "n:n":
            return [unique(metadata, table, source, target), index(metadata, table, target)]
        case "1:1":
            return [unique(metadata, table, source), unique(metadata, table, target)]
        case "1:n":
            return [index(metadata, table, source), unique(metadata, table, target)]
        case "n:1":
            return [unique(metadata, table, source), index(metadata, table, target)]


def foreign_key_column(metadata: MetaData, table: str, name: str, other: Endpoint, *, nullable: bool) -> Column[Any]:
    """Return a foreign key column that refers to ``other``."""
    constraint = None if "fk" in metadata.naming_convention else fit_identifier(f"fk_{table}_{name}")
    return Column(name, other.key_type, ForeignKey(other.key_path, name=constraint), nullable=nullable)


def unique(metadata: MetaData, table: str, *columns: Column[Any], name: str | None = None) -> UniqueConstraint:
    """Return a unique constraint, named by the MetaData's convention if it has one.

    :param name: its logical name; default: the names of the columns.
    """
    convention = str(metadata.naming_convention.get("uq", ""))
    if "%(constraint_name)s" in convention:
        return UniqueConstraint(*columns, name=name or "_".join(column.name for column in columns))
    # a convention that uses only the first column could give two constraints the same name
    if convention and name is None and (len(columns) == 1 or "column_0_N" in convention or "column_0N" in convention):
        return UniqueConstraint(*columns)
    label = name or "_".join(column.name for column in columns)
    return UniqueConstraint(*columns, name=fit_identifier(f"uq_{table}_{label}"))


def index(metadata: MetaData, table: str, column: Column[Any]) -> Index:
    """Return the index of a foreign key."""
    name = fit_identifier(f"ix_{table}_{column.name}")
    # SQLAlchemy's default convention yields the same name, but truncates long ones differently for each database
    return Index(None if "ix" in metadata.naming_convention and _is_users_own(metadata, "ix") else name, column)


def _is_users_own(metadata: MetaData, key: str) -> bool:
    default: Any = MetaData().naming_convention
    return bool(metadata.naming_convention.get(key) != default.get(key))
