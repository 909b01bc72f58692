"""Compile declarations into a plan, reporting all faults at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, MetaData, Table, and_, case, literal_column, null
from sqlalchemy.orm import Mapper, RelationshipProperty

from ...definitions.aggregates import Aggregate
from ...definitions.computation import info_of
from ...definitions.match import MatchExp
from ...dialects.functions import without_nan
from ...errors import DefinitionError, DefinitionFault
from ...schema.checks.computation_checks import ComputationChecks
from ...schema.checks.record_outlines import Outlines
from ...schema.compile.dictionaries import DICTIONARY_KEY, dictionary_mapper
from ...schema.computed import computed_attributes, declared_rows, state_of
from ...schema.faults import Faults
from ...schema.filtered_lookup import filtered_record
from ...schema.filtered_record import FilteredRecord
from ...schema.mapper_readiness import can_be_configured
from ...schema.member_types import key_attributes
from ...schema.metadata_state import Catalog
from ...schema.predicates.match import compile_where
from ...schema.record_lookup import distinct_name, resolve_record
from ...schema.table_completion import complete_tables
from .accumulator import Ranking, Selection, accumulator_for
from .dictionary_circles import check_dictionary_circles
from .edge_builder import EdgeBuilder, flatten_attributes
from .hosts import edges_over, followed_relationship, host_of
from .kind_checks import numbers_of
from .kinds import add_rows, add_value
from .lock_order import assign_ranks
from .plan import Plan
from .plan_nodes import ComputedValue, Host, Part
from .watched_tables import Sources

_ZERO: ColumnElement[Any] = literal_column("0")


def plan_of(metadata: MetaData) -> Plan:
    """Return the plan of ``metadata``, recompiled if there are new declarations.

    :raises DefinitionError: with every fault of the declarations.
    """
    catalog = Catalog.of(metadata)
    found = catalog.plan
    if not isinstance(found, Plan) or found.generation != catalog.generation:
        found = catalog.plan = build_plan(metadata)
    return found


def plan_if_ready(metadata: MetaData) -> Plan | None:
    """Return :func:`plan_of`, or ``None`` as long as referenced classes are not mapped yet.

    :raises DefinitionError: with every fault of the declarations.
    """
    catalog = Catalog.of(metadata)
    found = catalog.plan
    if isinstance(found, Plan) and found.generation == catalog.generation:
        return found
    return plan_of(metadata) if can_be_configured(catalog.all_mappers()) else None


def build_plan(metadata: MetaData) -> Plan:
    """Compile all declarations of ``metadata``.

    :raises DefinitionError: with every fault that was found.
    """
    catalog = Catalog.of(metadata)
    for mapper in catalog.all_mappers():
        mapper.registry.configure(cascade=True)
    complete_tables(metadata)
    builder = _PlanBuilder(metadata, catalog.all_mappers())
    generation = catalog.generation
    for mapper in builder.mappers:
        builder.add_mapper(mapper)
    builder.checks.check_self_dependencies()
    check_dictionary_circles(builder.plan, builder.faults)
    if builder.faults.found:
        raise DefinitionError("the declarations cannot be compiled", builder.faults.found)
    assign_ranks(metadata, builder.sources, builder.plan)
    builder.plan.generation = generation
    builder.plan.finish(builder.sources)
    return builder.plan


class _PlanBuilder:
    def __init__(self, metadata: MetaData, mappers: list[Mapper[Any]]) -> None:
        self.metadata = metadata
        # parents first: a column of a base class belongs to the base class
        roots = Counter(m.local_table for m in mappers if m.inherits is None)
        # of several classes on one table, the class that declares the table has the attributes of its computations
        again = {m for m in mappers if roots[m.local_table] > 1 and "__tablename__" not in vars(m.class_)}
        self.mappers = sorted(mappers, key=lambda m: (len(list(m.iterate_to_root())), m in again))
        self.sources = Sources(mappers)
        self.plan = Plan(metadata)
        self.faults = Faults()
        self._outlines = Outlines(metadata)
        self.checks = ComputationChecks(self._outlines, self.faults)
        self._edges: dict[tuple[Host, Any, bool, Any], tuple[EdgeBuilder, ...]] = {}

    def add_mapper(self, mapper: Mapper[Any]) -> None:
        table, outline = mapper.local_table, self._outlines.of(mapper)
        if not isinstance(table, Table):
            return
        name: str | None = None
        for attribute, column, computation in computed_attributes(mapper):
            if column in self.plan.columns:
                continue
            name = name or distinct_name(mapper, self.metadata)
            value = ComputedValue(name, attribute, mapper, column, computation)
            self.plan.columns[column] = value
            host = info_of(table).get(DICTIONARY_KEY) or outline
            if self.checks.check_value(computation, column, table.fullname, table.columns, host, attribute):
                with self.faults.caught(value.name, record=value.record, property=value.attribute):
                    self._add_value(value)
        transform = declared_rows(mapper.class_)
        is_sound = self.checks.check_rows(transform, table.fullname, table.columns, outline)
        if is_sound and transform is not None:
            with self.faults.caught(outline.name, record=outline.name):
                add_rows(transform, self.plan, self.sources, mapper)

    # -- values ------------------------------------------------------------------------------------------------

    def _add_value(self, value: ComputedValue) -> None:
        if isinstance(value.computation, Aggregate):
            self._add_aggregate(value)
        else:
            add_value(value.computation, self.plan, self.sources, value)
        self.plan.computed[value.name] = value

    def _add_aggregate(self, value: ComputedValue) -> None:
        host = host_of(self.plan, self.sources, value)
        accumulator = accumulator_for(value.computation)
        if accumulator is None:
            raise DefinitionFault(
                f"{type(value.computation).__name__} is not known: register it with accumulates(), and import the "
                "module that does before the declarations are used"
            )
        value.accumulator = accumulator
        builders = self._edges_of(value, host)
        vector = builders[0].edge.vector
        states = [c for c in value.table.columns if (state_of(c) or (None,))[0] == value.column.name]
        own = () if states and not isinstance(accumulator, Ranking) else (value.column,)
        value.running = (*states, *own)
        positions = range(len(vector), len(vector) + len(value.running))
        parts = [self._part(value, builder, positions) for builder in builders]
        vector.extend(value.running)
        host.values.append(value)
        for builder, part in zip(builders, parts, strict=True):
            builder.edge.parts.append(part)

    def _edges_of(self, value: ComputedValue, host: Host) -> tuple[EdgeBuilder, ...]:
        """Return the edge over which members contribute to a value: two over a symmetric relation, one for each end."""
        computation = value.computation
        assert isinstance(computation, Aggregate)
        target: Mapper[Any] | RelationshipProperty[Any]
        members: FilteredRecord | None = None
        if computation.of_own_row:
            target = value.mapper
        elif host.constant is not None:
            members = filtered_record(self.metadata, computation.source)
            target = resolve_record(self.metadata, computation.source if members is None else members.base)
        else:
            target = followed_relationship(value.mapper, computation.source, self.metadata)
        place = (host, target if members is None else members, value.is_additive, computation.neighbours())
        if place not in self._edges:
            builders = self._built(value, host, target)
            for builder in builders:
                if members is not None:
                    builder.add_criterion(builder.member.column_attrs[members.attribute].columns[0] > 0)
                builder.edge.is_additive = value.is_additive
                if value.is_additive:
                    builder.edge.vector = host.vector  # one UPDATE applies the deltas of all edges
                builder.edge.member.edges.append(builder.edge)
                host.edges.append(builder.edge)
            self._edges[place] = builders
        return self._edges[place]

    def _built(
        self, value: ComputedValue, host: Host, target: Mapper[Any] | RelationshipProperty[Any]
    ) -> tuple[EdgeBuilder, ...]:
        computation = value.computation
        assert isinstance(computation, Aggregate)
        name = f"{value.record}.{computation.source}"
        builder = EdgeBuilder(self.sources, host, name)
        if computation.of_own_row:
            return (builder.over_itself(value.mapper),)
        if isinstance(target, Mapper):
            return (builder.over_all(target),)
        return edges_over(self.sources, host, name, target, self.metadata)

    def _part(self, value: ComputedValue, builder: EdgeBuilder, positions: range) -> Part:
        computation = value.computation
        assert isinstance(computation, Aggregate)
        assert value.accumulator is not None

        def test(where: Any) -> ColumnElement[bool]:
            compiled = compile_where(where, builder.member.class_, builder.resolve)
            # mappings are resolved already; SQL expressions refer to the mapped class
            return compiled if isinstance(where, (Mapping, MatchExp)) else builder.adapt(compiled)

        counts = test(computation.where) if computation.where is not None else None
        if computation.callback is not None:
            if not value.is_additive:
                raise DefinitionFault(
                    f"{type(computation).__name__} compares values in SQL and does not accept a callback"
                )
            paths = flatten_attributes(computation.attribute_query or (), builder.member)
            attributes = {path: builder.resolve(path) for path in dict.fromkeys(paths)}
            given = [(d.name, dictionary_mapper(self.metadata, d.source)) for d in computation.dependencies]
            dictionaries = {name: builder.dictionary(mapper) for name, mapper in given}
            return Part(
                value,
                positions,
                callback=computation.callback,
                counts=counts,
                attributes=attributes,
                dictionaries=dictionaries,
            )
        accumulator = value.accumulator
        if isinstance(accumulator, Ranking):
            place, shown = accumulator.sql(builder.resolve, test)
            ranked = [place, *map(builder.resolve, key_attributes(builder.member)), shown]
            has_place = _all_of(without_nan(place).is_not(None), counts)
            numbers = [case((has_place, each)) for each in ranked]
            return Part(value, positions, sql=numbers, counts=has_place, ranked=ranked)
        numbers = numbers_of(accumulator, value.running, lambda: accumulator.sql(builder.resolve, test))
        part = Part(value, positions)
        if isinstance(accumulator, Selection) and accumulator.is_last is not None and len(numbers) == 1:
            # the column itself, in whose order an index has the members
            part.ranked = [builder.resolve(computation.references().fields[0])]
            part.counts = _all_of(numbers[0].is_not(None), counts)
        if counts is not None:
            nothing = _ZERO if value.is_additive else null()
            numbers = [case((counts, number), else_=nothing) for number in numbers]
        part.sql = numbers
        return part


def _all_of(one: ColumnElement[bool], other: ColumnElement[bool] | None) -> ColumnElement[bool]:
    return one if other is None else and_(one, other)
