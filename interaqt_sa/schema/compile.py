"""Definitions become tables and mapped classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, MetaData
from sqlalchemy.orm import DeclarativeBase, registry

from ..definitions.dictionary import Dictionary
from ..definitions.records import Entity, Relation
from .catalog import Catalog, metadata_of
from .constraints import plan_constraints
from .cycles import break_cycles
from .declarations import Declarations, ends_of
from .definition_checks import has_known_type
from .dictionaries import build_dictionary, dictionary_table_name
from .faults import Faults
from .forecast import check_computations
from .mapping import add_foreign_key, add_link, home_registry, map_class
from .relations import ForeignKeyPlan, LinkPlan, RelationPlanner, plan_links
from .schema import Schema
from .tables import TablePlan, dictionary_column, plan_table


def compile_schema(
    base: type[DeclarativeBase] | registry | MetaData | Schema,
    *,
    entities: Iterable[Entity] = (),
    relations: Iterable[Relation] = (),
    dictionaries: Iterable[Dictionary] = (),
    event_sources: Iterable[Any] = (),
) -> Schema:
    """Compile definitions into tables and mapped classes on the MetaData of ``base``.

    It needs no engine and does no I/O. The definitions are not changed and can be compiled on other MetaData too.
    Definitions that are compiled there already are left as they are; others are added to them.

    :param base: what holds the application's tables: a ``DeclarativeBase``, ``registry`` or ``MetaData``, or the
        result of an earlier call.
    :param event_sources: their events' entities are compiled too.
    :return: what ``base`` holds now.
    :raises DefinitionError: with all faults of the definitions, and those of computations beside them; then nothing
        has been added. If the definitions are without fault, what computations refer to may come in a later call, or
        with a class that is mapped later, and is looked at by :meth:`.Controller.setup`, :meth:`.System.check` or the
        first write.

    ::

        schema = compile_schema(Base, entities=[Ticket], relations=[TicketOfCustomer])
        TicketModel = schema.mapped_class(Ticket)
    """
    metadata = metadata_of(base)
    faults = Faults()
    declared = Declarations(Catalog.of(metadata), faults)
    declared.collect(entities, relations, dictionaries, event_sources)
    compilation = _Compilation(metadata, declared, faults)
    compilation.plan()
    if faults.found:
        compilation.check_computations()
    faults.raise_all()
    compilation.build(base)
    return Schema.of(metadata)


class _Compilation:
    """One call: first everything is planned, and only if nothing is wrong something is added to the MetaData."""

    def __init__(self, metadata: MetaData, declared: Declarations, faults: Faults) -> None:
        self._metadata = metadata
        self._declared = declared
        self._faults = faults
        self._plans: dict[str, TablePlan] = {}
        self._held: list[ForeignKeyPlan | LinkPlan] = []
        self._values: dict[str, Column[Any]] = {}

    def plan(self) -> None:
        for entity in self._declared.entities.values():
            self._plans[entity.name] = plan_table(entity, self._faults)
        self._plans |= plan_links(self._declared.relations, self._declared.endpoints, self._faults)
        planner = RelationPlanner(self._metadata, self._plans, self._faults)
        for relation in self._declared.relations.values():
            held = planner.plan(relation) if has_known_type(relation) else None
            if held is not None:
                self._held.append(held)
                continue
            for name, attribute in ends_of(relation):
                if name in self._plans:
                    self._plans[name].faulty.add(attribute)
        break_cycles(self._metadata, (held for held in self._held if isinstance(held, ForeignKeyPlan)))
        plan_constraints(self._metadata, self._plans, self._faults)
        for name, dictionary in self._declared.dictionaries.items():
            with self._faults.caught(f"Dictionary {name!r}", record=name):
                self._values[name] = dictionary_column(dictionary)
        self._check_table_names()

    def _check_table_names(self) -> None:
        taken = {name: f"the table {name!r}" for name in self._metadata.tables}
        schema = self._metadata.schema
        fresh = {name: plan.path(self._metadata) for name, plan in self._plans.items()}
        for name, dictionary in self._declared.dictionaries.items():
            own = dictionary_table_name(dictionary)
            fresh[name] = own if schema is None else f"{schema}.{own}"
        for name, table in fresh.items():
            if table in taken:
                self._faults.add(
                    f"{name}: its table would be {table!r}, which is that of {taken[table]}; "
                    "rename one of them or give table_name=",
                    record=name,
                )
            taken[table] = name

    def check_computations(self) -> None:
        check_computations(self._metadata, self._declared, self._plans, self._values, self._faults)

    def build(self, base: Any) -> None:
        catalog = Catalog.of(self._metadata)
        home = home_registry(base, self._metadata)
        tables = {name: plan.build(self._metadata) for name, plan in self._plans.items()}
        for name, plan in self._plans.items():
            catalog.classes[name] = map_class(home, name, tables[name], plan.columns, plan.definition.computation)
            catalog.definitions[name] = plan.definition
        for held in self._held:
            catalog.definitions[held.relation.name] = held.relation
            if isinstance(held, LinkPlan):
                add_link(held)
            else:
                add_foreign_key(held, self._metadata)
        for name, value in self._values.items():
            dictionary = catalog.dictionaries[name] = self._declared.dictionaries[name]
            table = build_dictionary(dictionary, value, self._metadata)
            columns = {"id": table.c.id, "value": value}
            catalog.dictionary_classes[name] = map_class(home, table.name, table, columns, None)
        catalog.generation += 1
