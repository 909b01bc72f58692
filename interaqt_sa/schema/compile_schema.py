"""Compile definitions into tables and mapped classes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from sqlalchemy import Column, MetaData
from sqlalchemy.orm import DeclarativeBase, registry

from ..definitions.dictionary import Dictionary
from ..definitions.records import Entity, Relation
from ..errors import DefinitionError
from .checks.checks_without_mapping import check_computations
from .checks.filtered_conditions import check_filtered
from .checks.record_outlines import Outlines
from .compile.constraints import plan_constraints
from .compile.definition_checks import base_of
from .compile.dictionaries import build_dictionary, dictionary_table_name
from .compile.filtered_inputs_of_merged import divide
from .compile.filtered_records import FilteredPlan, FilteredPlanner, add_filtered
from .compile.foreign_key_cycles import break_cycles
from .compile.mapping import add_foreign_key, add_input_link, add_link, home_registry, map_class
from .compile.merged_records import MergedPlan, MergedPlanner, map_merged, with_ends
from .compile.new_definitions import Declarations
from .compile.relations import ForeignKeyPlan, LinkPlan, RelationPlanner, plan_links
from .compile.symmetric_relations import add_symmetric_link
from .compile.system_tables import add_system_tables
from .compile.tables import TablePlan, build_tables, dictionary_column, plan_table
from .faults import Faults
from .metadata_state import Catalog, metadata_of
from .schema_inspection import Schema


def compile_schema(
    base: type[DeclarativeBase] | registry | MetaData | Schema,
    *,
    entities: Iterable[Entity] = (),
    relations: Iterable[Relation] = (),
    dictionaries: Iterable[Dictionary] = (),
    event_sources: Iterable[Any] = (),
) -> Schema:
    """Compile definitions into tables and mapped classes on the MetaData of ``base``.

    It needs no engine and does no I/O. The definitions are not changed, and can also be compiled on another MetaData.
    Definitions that are already compiled on this MetaData are skipped; repeated calls add further ones. The tables of
    ``storage.get()`` and of named counters are added, too, so that a call without definitions adds these alone.

    :param base: the ``DeclarativeBase``, ``registry`` or ``MetaData`` of the application's tables, or the
        :class:`.Schema` returned by an earlier call.
    :param entities: :class:`.Entity` values.
    :param relations: :class:`.Relation` values.
    :param dictionaries: :class:`.Dictionary` values.
    :param event_sources: :class:`.EventSource` values, whose entities are compiled too.
    :return: the :class:`.Schema` of all records of ``base``.
    :raises DefinitionError: with all faults of the definitions, and those of computations beside them; then nothing
        has been added. Names in computations may refer to definitions of a later call, or to a class that is mapped
        later; they are checked by :meth:`.Controller.setup`, :meth:`.System.check` or the first write.
    :raises TypeError: if ``base`` is none of these.

    ::

        schema = compile_schema(Base, entities=[Ticket], relations=[TicketOfCustomer])
        TicketModel = schema.mapped_class(Ticket)
    """
    compilation = Compilation(base, system_tables=True)
    compilation.plan(entities, relations, dictionaries, event_sources)
    compilation.finish("the definitions cannot be compiled")
    return Schema.of(compilation.metadata)


class Compilation:
    """One compilation: everything is planned first, and added to the MetaData only if there are no faults.

    :param system_tables: add the tables of ``storage.get()`` and of named counters, even if nothing is defined.
    :ivar faults: the faults found so far.
    """

    def __init__(self, base: Any, *, system_tables: bool = False) -> None:
        self._system_tables = system_tables
        self.metadata = metadata_of(base)
        self.faults = Faults()
        self._base = base
        self._declared = Declarations(Catalog.of(self.metadata), self.faults)
        self._plans: dict[str, TablePlan] = {}
        self._held: list[ForeignKeyPlan | LinkPlan] = []
        self._filtered: list[FilteredPlan] = []
        self._merged: list[MergedPlan] = []
        self._values: dict[str, Column[Any]] = {}

    def plan(
        self,
        entities: Iterable[Any],
        relations: Iterable[Any],
        dictionaries: Iterable[Any],
        event_sources: Iterable[Any],
    ) -> None:
        """Plan the tables of definitions, and collect their faults."""
        declared, faults = self._declared, self.faults
        declared.collect(entities, relations, dictionaries, event_sources)
        divide(declared, faults)
        declared.relations |= with_ends(declared.merged_relations, declared.relations, faults)
        for entity in declared.entities.values():
            self._plans[entity.name] = plan_table(entity, faults)
        merged = MergedPlanner(self.metadata, self._plans, faults)
        self._merged = merged.plan_all(declared.merged)
        self._plans |= plan_links(declared.relations, declared.endpoints, faults)
        self._merged += merged.plan_relations({n: r for n, r in declared.merged_relations.items() if n in self._plans})
        bases = {name: base_of(definition) for name, definition in declared.filtered.items()}
        planner = RelationPlanner(self.metadata, self._plans, declared.relations, faults, bases)
        self._held = planner.plan_all()
        filtered = FilteredPlanner(self.metadata, self._plans, declared.relations, planner.endpoint, faults)
        self._filtered = filtered.plan_all(declared.filtered)
        break_cycles(self.metadata, (held for held in self._held if isinstance(held, ForeignKeyPlan)))
        plan_constraints(self.metadata, self._plans, self._filtered, faults)
        for name, dictionary in declared.dictionaries.items():
            with faults.caught(f"Dictionary {name!r}", record=name):
                self._values[name] = dictionary_column(dictionary)
        self._check_table_names()
        check_filtered(self._filtered, self.outlines, faults)

    @cached_property
    def outlines(self) -> Outlines:
        """The outlines of all records, after :meth:`plan`."""
        declared = self._declared
        return Outlines(
            self.metadata,
            self._plans,
            declared.relations,
            filtered=self._filtered,
            disputed=declared.disputed,
            unplanned=declared.unplanned,
        )

    def finish(self, refusal: str) -> None:
        """Add the planned tables and classes to the MetaData.

        :raises DefinitionError: with the message ``refusal``, if there are faults; those of computations are added.
        """
        if not self.faults.found:
            self._build()
        if self.faults.found:
            values = [(value, self._values.get(name)) for name, value in self._declared.dictionaries.items()]
            check_computations(self.metadata, self.outlines, self._plans, values, self.faults)
            raise DefinitionError(refusal, self.faults.found)

    def _check_table_names(self) -> None:
        taken = {name: f"the table {name!r}" for name in self.metadata.tables}
        schema = self.metadata.schema
        fresh = {name: plan.path(self.metadata) for name, plan in self._plans.items() if plan.merged is None}
        for name, dictionary in self._declared.dictionaries.items():
            own = dictionary_table_name(dictionary)
            fresh[name] = own if schema is None else f"{schema}.{own}"
        for name, table in fresh.items():
            if table in taken:
                self.faults.add(
                    f"{name}: its table would be {table!r}, which is that of {taken[table]}; "
                    "rename one of them or give table_name=",
                    record=name,
                )
            taken[table] = name

    def _build(self) -> None:
        tables = build_tables(self.metadata, self._plans, self.faults)
        if self.faults.found:
            return
        catalog = Catalog.of(self.metadata)
        home = home_registry(self._base, self.metadata)
        if self._system_tables or self._plans or self._values:
            add_system_tables(self.metadata, home)
        for merged in self._merged:
            map_merged(merged, home, catalog, tables[merged.name])
        for name, plan in self._plans.items():
            if name not in catalog.classes:
                catalog.classes[name] = map_class(home, name, tables[name], plan.columns, plan.definition.computation)
                catalog.definitions[name] = plan.definition
            if isinstance(plan.definition, Entity) and plan.definition.identity:
                catalog.natural_keys[name] = plan.definition.identity
        for held in self._held:
            catalog.definitions[held.relation.name] = held.relation
            if isinstance(held, LinkPlan) and held.is_symmetric:
                add_symmetric_link(held, home)
            elif isinstance(held, LinkPlan) and held.plan.merged is not None:
                add_input_link(held, held.plan.merged.definition.name)
            elif isinstance(held, LinkPlan):
                add_link(held)
            else:
                add_foreign_key(held, self.metadata)
        catalog.as_given |= self._declared.as_given
        for filtered in self._filtered:
            add_filtered(filtered, catalog)
        for name, value in self._values.items():
            dictionary = catalog.dictionaries[name] = self._declared.dictionaries[name]
            table = build_dictionary(dictionary, value, self.metadata)
            columns = {"id": table.c.id, "value": value}
            catalog.dictionary_classes[name] = map_class(home, table.name, table, columns, None)
        catalog.generation += 1
