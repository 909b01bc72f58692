"""Plans of the tables of entities and relations, made before anything is added to the MetaData."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import SchemaItem

from ...definitions.dictionary import Dictionary
from ...definitions.records import Entity, Property, Relation
from ...errors import DefinitionFault
from ..faults import Faults
from ..naming import fit_identifier, snake_case
from ..sequences import id_column
from ..types import property_type
from .definition_checks import OWN_ATTRIBUTES, check_property, is_computation
from .valid_parts import properties_of


@dataclass(slots=True)
class TablePlan:
    """The planned table of one record, not attached to a MetaData.

    :ivar columns: columns by attribute, in order.
    :ivar references: the foreign key columns, by relation property.
    :ivar items: constraints and indexes.
    :ivar attributes: all attributes of the record, including those added by relations.
    :ivar faulty: properties without a column because of a fault.
    :ivar merged: for an input of a merged entity, the plan of the table that it shares.
    """

    definition: Entity | Relation
    name: str
    columns: dict[str, Column[Any]] = field(default_factory=dict[str, Column[Any]])
    references: dict[str, Column[Any]] = field(default_factory=dict[str, Column[Any]])
    items: list[SchemaItem] = field(default_factory=list[SchemaItem])
    attributes: set[str] = field(default_factory=lambda: {"id"})
    faulty: set[str] = field(default_factory=set[str])
    merged: TablePlan | None = None

    def share(self, merged: TablePlan) -> None:
        """Let the record have the table of a merged entity instead of its own."""
        self.merged, self.name, self.items = merged, merged.name, merged.items

    def add_column(self, attribute: str, column: Column[Any], faults: Faults) -> None:
        """Add a column, and collect a fault if its name is taken."""
        record = self.definition.name
        if self.merged is not None:
            self.merged.add_column(attribute, column, faults)
        elif any(column.name == known.name for known in self.columns.values()) or column.name == "id":
            faults.add(
                f"{record}.{attribute}: the table has a column {column.name!r} already; "
                "rename the property or give column_name=",
                record=record,
                property=attribute,
            )
        self.columns[attribute] = column
        self.attributes.add(attribute)

    def path(self, metadata: MetaData) -> str:
        """Return the name of the table qualified by its schema, as in ``metadata.tables`` and foreign keys."""
        if self.merged is not None:
            return self.merged.path(metadata)
        schema = self._arguments()[1].get("schema", metadata.schema)
        return f"{schema}.{self.name}" if isinstance(schema, str) else self.name

    def build(self, metadata: MetaData) -> Table:
        """Add the table and its sequence to ``metadata``."""
        extra, options = deepcopy(self._arguments())
        self.columns = {"id": id_column(self.name, metadata, options.get("schema")), **self.columns}
        return Table(self.name, metadata, *self.columns.values(), *self.items, *extra, **options)

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return ``table_args`` as positional and keyword arguments.

        Definitions are shared between schemas, but a SchemaItem belongs to one table: copy the arguments before use.
        """
        given: Any = self.definition.table_args if isinstance(self.definition, Entity) else ()
        if given and isinstance(given[-1], dict):
            return given[:-1], given[-1]  # pyright: ignore[reportUnknownVariableType]
        return given, {}


def build_tables(metadata: MetaData, plans: Mapping[str, TablePlan], faults: Faults) -> dict[str, Table]:
    """Add the tables of ``plans`` to ``metadata``; if one fails, collect the fault and add none."""
    tables: dict[str, Table] = {}
    known, sequences = set(metadata.tables), set(metadata._sequences)
    for name, plan in plans.items():
        if plan.merged is not None:
            continue
        try:
            tables[name] = plan.build(metadata)
        except (SQLAlchemyError, TypeError, ValueError) as error:
            faults.add(
                f"{name}: SQLAlchemy refuses the table: {error}; look at table_args= and constraints=", record=name
            )
            faults.found[-1].__cause__ = error
    _check_index_names(metadata, tables, faults)
    if faults.found:
        for path in set(metadata.tables) - known:
            metadata.remove(metadata.tables[path])
        for path in set(metadata._sequences) - sequences:  # MetaData has no method to remove a sequence
            del metadata._sequences[path]
    return tables


def _check_index_names(metadata: MetaData, fresh: Mapping[str, Table], faults: Faults) -> None:
    """Collect a fault for each duplicate index name: index names are unique within a schema, not a table."""
    taken: dict[tuple[str | None, str], Table] = {}
    records = {table: name for name, table in fresh.items()}
    for table in sorted(metadata.tables.values(), key=lambda table: table in records):  # the application's come first
        named: list[Index | UniqueConstraint] = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
        for name in {str(item.name) for item in (*named, *table.indexes) if item.name is not None}:
            other = taken.setdefault((table.schema, name), table)
            if other is not table and (record := records.get(table)) is not None:
                faults.add(
                    f"{record}: its index {name!r} has the same name as one of table {other.name!r}; "
                    "rename the relation property or the constraint, or give table_name=",
                    record=record,
                )


def table_name(definition: Entity | Relation) -> str:
    """Return the name of the table of ``definition``."""
    given = definition.table_name if isinstance(definition, Entity) else None
    return given or fit_identifier(snake_case(definition.name))


def plan_table(definition: Entity | Relation, faults: Faults) -> TablePlan:
    """Return the planned table of ``definition`` with the columns of its properties."""
    plan = TablePlan(definition, table_name(definition))
    identity = definition.identity or () if isinstance(definition, Entity) else ()
    for prop in properties_of(definition):
        if prop.name in plan.columns or prop.name in OWN_ATTRIBUTES[type(definition)]:
            continue  # already collected as a fault
        known = len(faults.found)
        check_property(definition.name, prop, faults)
        with faults.caught(f"{definition.name}.{prop.name}", record=definition.name, property=prop.name):
            column = property_column(prop)
            column.nullable = column.nullable and prop.name not in identity
            if len(faults.found) == known:
                plan.add_column(prop.name, column, faults)
        if len(faults.found) > known:
            plan.faulty.add(prop.name)
    plan.attributes |= plan.faulty
    return plan


def property_column(prop: Property) -> Column[Any]:
    """Return the column of a property.

    :raises DefinitionFault: if its type is unknown.
    """
    name = prop.column_name if isinstance(prop.column_name, str) and prop.column_name else snake_case(prop.name)
    return _value_column(fit_identifier(name), prop, nullable=prop.nullable)


def dictionary_column(dictionary: Dictionary) -> Column[Any]:
    """Return the column for the value of a dictionary.

    :raises DefinitionFault: if its type is unknown.
    """
    return _value_column("value", dictionary, nullable=True)


def _value_column(name: str, declared: Property | Dictionary, *, nullable: bool) -> Column[Any]:
    # anything but a computation is already collected as a fault
    computation = declared.computation if is_computation(declared.computation) else None
    kind = property_type(declared.type, collection=declared.collection)
    try:
        return Column(
            name,
            # otherwise the ORM would treat an explicit None as a missing value and apply the default
            kind if declared.default is None else kind.evaluates_none(),
            *(() if computation is None else (computation,)),
            nullable=nullable and not (computation is not None and computation.is_never_null),
            default=_default(declared.default),
        )
    except SQLAlchemyError as error:
        raise DefinitionFault(f"default={declared.default!r} cannot be used: {error}") from error


def _default(value: Any) -> Any:
    """Return ``value`` as a column default; a mutable value is copied for each row."""
    if callable(value):
        return value
    return value if value.__hash__ is not None else lambda: deepcopy(value)
