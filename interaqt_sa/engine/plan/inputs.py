"""Add the data that functions of the application read to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Integer, MetaData, literal_column
from sqlalchemy.orm import Mapper

from ...definitions.data_dependencies import DataDependency
from ...definitions.match import MatchExp
from ...errors import DefinitionFault
from ...schema.compile.dictionaries import dictionary_mapper
from ...schema.computed import state_of
from ...schema.filtered_lookup import filtered_record
from ...schema.predicates.match import compile_where
from ...schema.record_lookup import resolve_record
from .edge_builder import EdgeBuilder, flatten_attributes
from .hosts import edges_over, followed_relationship, host_of
from .plan import Plan
from .plan_nodes import ComputedValue, Edge, Host, Inputs, Part
from .watched_tables import Sources


def add_inputs(plan: Plan, sources: Sources, value: ComputedValue, dependencies: Iterable[DataDependency]) -> None:
    """Add a value that is computed from dependencies, with the edges over which it depends on rows.

    :raises DefinitionFault: if the engine cannot follow rows that it names.
    """
    _InputsBuilder(plan, sources, value).build(list(dependencies))


class _InputsBuilder:
    def __init__(self, plan: Plan, sources: Sources, value: ComputedValue) -> None:
        self._metadata: MetaData = plan.metadata
        self._sources = sources
        self._value = value
        self._host: Host = host_of(plan, sources, value)

    def build(self, dependencies: Sequence[DataDependency]) -> None:
        value, host, mapper = self._value, self._host, self._value.mapper
        states = [c for c in value.table.columns if (state_of(c) or (None,))[0] == value.column.name]
        value.running = (value.column, *states)
        own = EdgeBuilder(self._sources, host, value.name).over_itself(mapper)
        attributes: dict[str, ColumnElement[Any]] = {}
        dictionaries: dict[str, ColumnElement[Any]] = {}
        members: dict[str, tuple[Edge, ...]] = {}
        through: dict[str, list[str]] = {}
        for dependency in dependencies:
            if dependency.kind == "global":
                dictionaries[dependency.name] = own.dictionary(dictionary_mapper(self._metadata, dependency.source))
            elif dependency.kind == "records":
                members[dependency.name] = (self._over_record(dependency),)
            else:
                for path in flatten_attributes(dependency.attribute_query, mapper):
                    step, _, rest = path.partition(".")
                    if rest and not _is_reference(mapper, step):
                        through.setdefault(step, []).append(rest)
                    elif path != value.attribute:
                        attributes[path] = own.resolve(path)
                for step in (s for item in dependency.attribute_query if (s := _empty_step(item)) is not None):
                    through.setdefault(step, [])
        read = [*attributes.values(), *dictionaries.values()]
        self._finish(own, attributes, read)
        for step, paths in through.items():
            members[step] = self._over_relationship(step, paths)
        single = frozenset(step for step in through if not mapper.relationships[step].uselist)
        names = [d.name for d in dependencies if d.kind == "property"]
        value.inputs = Inputs(own.edge, attributes, dictionaries, members, single, names)
        host.values.append(value)

    def _over_relationship(self, name: str, paths: Sequence[str]) -> tuple[Edge, ...]:
        relationship = followed_relationship(self._value.mapper, name, self._metadata)
        label = f"{self._value.record}.{name}"
        builders = edges_over(self._sources, self._host, label, relationship, self._metadata)
        return tuple(self._finish(builder, _resolved(builder, paths)) for builder in builders)

    def _over_record(self, dependency: DataDependency) -> Edge:
        members = filtered_record(self._metadata, dependency.source)
        target = resolve_record(self._metadata, dependency.source if members is None else members.base)
        builder = EdgeBuilder(self._sources, self._host, f"{self._value.record}.{dependency.name}")
        builder.over_all(target)
        if members is not None:
            builder.add_criterion(builder.member.column_attrs[members.attribute].columns[0] > 0)
        where = dependency.match
        if where is not None:
            compiled = compile_where(where, builder.member.class_, builder.resolve)
            # mappings are resolved already; SQL expressions refer to the mapped class
            is_resolved = isinstance(where, (Mapping, MatchExp))
            builder.edge.criteria.append(compiled if is_resolved else builder.adapt(compiled))
        paths = list(flatten_attributes(dependency.attribute_query, target))
        return self._finish(builder, _resolved(builder, paths))

    def _finish(
        self,
        builder: EdgeBuilder,
        attributes: Mapping[str, ColumnElement[Any]],
        read: Sequence[ColumnElement[Any]] | None = None,
    ) -> Edge:
        """Add an edge whose contributions are the values that the function reads, by which changes are noticed."""
        edge, shown = builder.edge, [*attributes.values()] if read is None else read
        edge.is_additive, edge.is_evaluated = False, True
        # the first value tells members from other rows, whose values are NULL too
        numbers: list[ColumnElement[Any]] = [literal_column("1", Integer), *shown]
        edge.vector = [Column(f"v{i}", number.type) for i, number in enumerate(numbers)]
        edge.parts.append(Part(self._value, range(len(numbers)), sql=numbers, attributes=attributes))
        edge.member.edges.append(edge)
        self._host.edges.append(edge)
        return edge


def _resolved(builder: EdgeBuilder, paths: Iterable[str]) -> dict[str, ColumnElement[Any]]:
    found: dict[str, ColumnElement[Any]] = {}
    for path in dict.fromkeys(paths):
        try:
            found[path] = builder.resolve(path)
        except KeyError:
            raise DefinitionFault(f"{path!r} is not a column of {builder.member.class_.__name__}") from None
    return found


def _is_reference(mapper: Mapper[Any], name: str) -> bool:
    """Whether rows of ``mapper`` refer to the rows of a relationship by a foreign key of their own."""
    return mapper.relationships[name].direction.name == "MANYTOONE"


def _empty_step(item: Any) -> str | None:
    """Return the name of a relationship whose members are read without attributes, only to be counted."""
    match item:
        case (str() as name, [] | () | {"attribute_query": [] | ()}):
            return name
        case _:
            return None
