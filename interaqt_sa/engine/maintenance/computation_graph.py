"""What feeds what: computed values and derived rows, and what they are computed from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement
from sqlalchemy.sql import ClauseElement, visitors

from ...definitions.computation import Computation
from ...definitions.short_repr import shorten
from ...schema.record_lookup import record_name
from ..plan import ComputedValue, Derivation, Edge, Plan, Reaction, Source

_NO_WORD = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class GraphNode:
    """One computed value, or the derived rows of one record, and what it is computed from.

    :ivar name: ``"Customer.spent"``, or the name of a record whose rows are derived.
    :ivar computation: its declaration, with conditions.
    :ivar inputs: what it is computed from: ``"Order.total"`` for an attribute; ``"Order"`` for the rows of a record,
        which count, move it by their events, or are given to a function as a whole.
    """

    name: str
    computation: str
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class ComputationGraph:
    """The result of :meth:`.System.graph`: which attributes and rows feed which computed values.

    ``str()`` of it is a text with one paragraph for each computed value.

    :ivar nodes: the computed values, each after those that it is computed from.

    ::

        print(system.graph())
        assert "Customer.spent" in system.graph().affected_by("Order.price")
    """

    nodes: Sequence[GraphNode]

    def affected_by(self, name: str) -> list[str]:
        """Return the computed values that a change of ``name`` may change, directly or through others.

        :param name: an attribute, ``"Order.total"``, or a record, ``"Order"``: its rows come, go or change.
        """
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            changed = waiting.pop(0)
            # a record stands for all its attributes, and a changed attribute changes its row
            related = {changed, changed.partition(".")[0]}
            for node in self.nodes:
                if node.name not in found and any(
                    each in related or ("." not in changed and each.startswith(f"{changed}.")) for each in node.inputs
                ):
                    found[node.name] = None
                    waiting.append(node.name)
        return [node.name for node in self.nodes if node.name in found]

    def as_dict(self) -> dict[str, Any]:
        """Return the graph as values that JSON can hold."""
        return {"nodes": [{**asdict(node), "inputs": list(node.inputs)} for node in self.nodes]}

    def mermaid(self) -> str:
        """Return the graph as a Mermaid ``flowchart``, inputs on the left."""
        lines = ["flowchart LR"]
        computed = {node.name: node for node in self.nodes}
        for name in dict.fromkeys((*(each for node in self.nodes for each in node.inputs), *computed)):
            found = computed.get(name)
            label = name if found is None else f"{name}<br>{_escaped(found.computation)}"
            lines.append(f'    {_word(name)}{"[" if found is None else "("}"{label}"{"]" if found is None else ")"}')
        lines += [f"    {_word(each)} --> {_word(node.name)}" for node in self.nodes for each in node.inputs]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        paragraphs = (
            "\n".join([f"{node.name} = {node.computation}", *(f"    from {each}" for each in node.inputs)])
            for node in self.nodes
        )
        return "\n".join(paragraphs)


def computation_graph(plan: Plan) -> ComputationGraph:
    """Return the graph of all computations in ``plan``."""
    nodes = [
        GraphNode(value.name, _described(value.computation), tuple(dict.fromkeys(_inputs(plan, value))))
        for value in plan.computed.values()
    ]
    for name in dict.fromkeys(derivation.name for derivation in plan.derivations):
        derivations = [derivation for derivation in plan.derivations if derivation.name == name]
        inputs = dict.fromkeys(each for derivation in derivations for each in _origins(plan, derivation))
        nodes.append(GraphNode(name, _described(derivations[0].transform), tuple(inputs)))
    return ComputationGraph(tuple(_sorted(nodes)))


def _sorted(nodes: Sequence[GraphNode]) -> Iterator[GraphNode]:
    """Yield the nodes, each after those that feed it; values that feed each other by their name."""
    left = {node.name: node for node in sorted(nodes, key=lambda node: node.name)}
    while left:
        ready = [node for node in left.values() if not any(_feeds(other, node) for other in left.values())]
        for node in ready or [next(iter(left.values()))]:
            yield left.pop(node.name)


def _feeds(other: GraphNode, node: GraphNode) -> bool:
    """Whether ``node`` is computed from ``other``, or from rows that hold its value."""
    return other is not node and (other.name in node.inputs or other.name.partition(".")[0] in node.inputs)


def _inputs(plan: Plan, value: ComputedValue) -> Iterator[str]:
    if value.is_same_row:
        yield value.record
    for numbering in plan.numberings.get(value.table, ()):
        if numbering.value is value:
            names = (value.mapper.get_property_by_column(column).key for column in numbering.needed)
            yield from (f"{value.record}.{name}" for name in names)
    host = plan.hosts.get(value.table)
    follows_rows = value.is_aggregate or value.inputs is not None
    for edge in host.edges if host is not None and follows_rows else ():
        for part in edge.parts:
            if part.value is value:
                if not (edge.is_own_row and edge.is_evaluated):
                    yield _name_of(edge.member)
                yield from (_name_of(hop.source) for hop in edge.hops if hop.required)
                read: list[ColumnElement[Any]] = [*edge.criteria, *part.sql, *part.attributes.values()]
                read += part.dictionaries.values()
                read += [] if part.counts is None else [part.counts]
                yield from _attributes(edge, read)
    yield from _triggers(plan, lambda reaction: getattr(reaction.effect, "value", None) is value)


def _origins(plan: Plan, derivation: Derivation) -> Iterator[str]:
    if derivation.origin is not None:
        origin = record_name(derivation.origin) if derivation.members is None else derivation.members.name
        if derivation.attributes:
            yield from (f"{origin}.{name}" for name in derivation.attributes)
        else:
            yield origin
    yield from _triggers(plan, lambda reaction: reaction.effect is derivation and reaction.trigger is not None)


def _triggers(plan: Plan, is_meant: Callable[[Reaction], bool]) -> Iterator[str]:
    """Yield the records whose events trigger a reaction."""
    for reactions in plan.reactions.values():
        yield from (reaction.relation or record_name(reaction.mapper) for reaction in reactions if is_meant(reaction))


def _attributes(edge: Edge, read: Sequence[ColumnElement[Any]]) -> Iterator[str]:
    """Yield the names of the attributes that expressions over a member and its neighbours read."""
    sources: dict[Any, Source] = dict.fromkeys(edge.tables, edge.member)
    for hop in edge.hops:
        sources[hop.alias] = sources[hop.table] = hop.source
    for expression in read:
        for column in visitors.iterate(expression):
            source = sources.get(getattr(column, "table", None))
            name = _attribute(source, column) if source is not None else None
            if source is not None and name is not None:
                yield f"{_name_of(source)}.{name}"


def _attribute(source: Source, column: Any) -> str | None:
    found: Column[Any] | None = next((t.c[column.key] for t in _tables(source) if column.key in t.c), None)
    if found is None or source.mapper is None:
        return str(column.key)
    for mapper in source.mapper.self_and_descendants:
        if mapper.columns.contains_column(found):
            return mapper.get_property_by_column(found).key
    return None  # a hidden column


def _tables(source: Source) -> list[Any]:
    mappers = [] if source.mapper is None else [*source.mapper.self_and_descendants]
    return [source.table, *(table for mapper in mappers for table in mapper.tables)]


def _name_of(source: Source) -> str:
    return source.table.name if source.mapper is None else record_name(source.mapper)


def _described(computation: Computation[Any]) -> str:
    """Return a declaration as one line, with functions and SQL expressions by their names and text."""
    # dependencies are inputs of the node
    given = [(n, value) for n, value in computation.meaning().items() if n != "data_deps" and not _is_absent(value)]
    return f"{type(computation).__name__}({', '.join(f'{name}={_shown(value)}' for name, value in given)})"


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, tuple) and not value)


def _shown(value: Any) -> str:
    if isinstance(value, ClauseElement):
        return " ".join(str(value.compile(compile_kwargs={"literal_binds": True})).split())
    if callable(value) and not isinstance(value, type):
        return str(getattr(value, "__qualname__", shorten(value)))
    return value.__name__ if isinstance(value, type) else shorten(value)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")


def _word(name: str) -> str:
    return _NO_WORD.sub("_", name)
