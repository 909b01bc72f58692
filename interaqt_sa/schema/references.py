"""Whether what computations name is there, and fits: one fault for each name that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from sqlalchemy import Column, ColumnElement

from ..definitions.aggregates import Aggregate, Average, Every, Summation
from ..definitions.aggregates import Any as AnyOf
from ..definitions.computation import Computation
from ..definitions.event_source import EventSource
from ..definitions.events import Trigger
from ..definitions.match import Atom, MatchExp
from ..definitions.state_machine import StateMachine
from ..definitions.transform import Transform
from ..errors import DefinitionFault
from .computed import check_state
from .faults import Faults, NotYetKnown
from .match import compile_where
from .operands import atoms_of, check_operand
from .outlines import Outline, Outlines
from .value_columns import check_column, check_sum


class References:
    """Checks computations against the records that there are.

    :param faults: takes what is wrong.
    """

    def __init__(self, outlines: Outlines, faults: Faults) -> None:
        self._outlines = outlines
        self._faults = faults

    def check_value(
        self,
        computation: Computation[Any],
        column: Column[Any],
        table: str,
        siblings: Iterable[Column[Any]],
        host: Outline | str,
        attribute: str,
    ) -> bool:
        """Note what is wrong with a computed column, and return whether nothing is.

        :param table: name of its table, which has the columns ``siblings``.
        :param host: its record; for the value of a dictionary, the dictionary's name.
        """
        place = _Place(self._faults, host, attribute)
        place.try_(lambda: check_column(computation, column))
        place.try_(lambda: check_state(table, siblings, computation, column))
        match computation:
            case Aggregate():
                self._check_aggregate(place, computation, column, host)
            case StateMachine():
                for transfer in computation.transfers:
                    if transfer.compute_target is None:
                        place.add(
                            f"the transfer {transfer.current.name} -> {transfer.next.name} does not say which rows "
                            "move; give compute_target"
                        )
                    self._check_trigger(place, transfer.trigger)
            case _:
                pass
        return place.is_sound

    def check_transform(
        self, transform: Transform, table: str, columns: Iterable[Column[Any]], target: Outline
    ) -> bool:
        """Note what is wrong with derived rows, and return whether nothing is."""
        place = _Place(self._faults, target, None)
        if transform.record is not None:
            place.try_(lambda: check_state(table, columns, transform, None))
            place.try_(lambda: self._check_source(transform))
        for dependency in (transform.event_deps or {}).values():
            self._check_trigger(place, dependency)
        return place.is_sound

    def _check_source(self, transform: Transform) -> None:
        origin = self._outlines.find(transform.record)
        given = transform.attribute_query or ()
        unknown = [n for n in given if not isinstance(n, str) or n not in origin.columns]
        if unknown and not origin.is_open:
            raise DefinitionFault(f"attribute_query names {unknown}, which {origin.name} has not")

    def _check_trigger(self, place: _Place, trigger: Trigger) -> None:
        def check() -> None:
            ref = trigger.record_name
            try:
                record = self._outlines.find(ref)
            except NotYetKnown:
                raise
            except DefinitionFault as fault:
                if not isinstance(ref, EventSource):
                    raise
                raise DefinitionFault(f"{fault}; give {ref!r} to event_sources of a controller") from fault
            unknown = sorted(key for key in trigger.keys or () if not record.has(key))
            if unknown:
                raise DefinitionFault(f"the trigger's keys {unknown} are no attributes of {record.name}")

        place.try_(check)

    # -- aggregates --------------------------------------------------------------------------------------------

    def _check_aggregate(
        self, place: _Place, computation: Aggregate[Any], column: Column[Any], host: Outline | str
    ) -> None:
        found: list[Outline] = []
        place.try_(lambda: found.append(self._member(computation, host)))
        for member in found:
            for where in (computation.where, getattr(computation, "expression", None)):
                if where is not None:
                    _check_where(place, where, member)
            if isinstance(computation, (Summation, Average)):
                place.try_(lambda m=member: check_sum(computation, column, m.column(computation.field).type))  # type: ignore[misc]
            for check in _attribute_checks(computation.attribute_query or (), member):
                place.try_(check)

    def _member(self, computation: Aggregate[Any], host: Outline | str) -> Outline:
        if isinstance(host, str):
            return self._outlines.find(computation.source)
        way = host.way(computation.source)
        if isinstance(computation, (Every, AnyOf)) and way.is_many is False:
            raise DefinitionFault(
                f"{type(computation).__name__} needs a relationship to many, not {host.name}.{computation.source}"
            )
        return way.target()


class _Place:
    """A declaration while it is checked: what is wrong is noted, and the next check follows."""

    def __init__(self, faults: Faults, host: Outline | str, attribute: str | None) -> None:
        self._faults = faults
        if isinstance(host, str):
            self._record, self._where, self._property = host, f"Dictionary {host!r}", None
        else:
            self._record, self._property = host.name, attribute
            self._where = host.name if attribute is None else f"{host.name}.{attribute}"
        self._known = len(faults.found)

    @property
    def is_sound(self) -> bool:
        return len(self._faults.found) == self._known

    def try_(self, check: Callable[[], Any]) -> None:
        with self._faults.caught(self._where, record=self._record, property=self._property):
            check()

    def add(self, message: str) -> None:
        self._faults.add(f"{self._where}: {message}", record=self._record, property=self._property)


def _check_where(place: _Place, where: Any, member: Outline) -> None:
    if isinstance(where, Mapping) and where:
        for key, value in cast("Mapping[str, Any]", where).items():
            place.try_(lambda key=key, value=value: _check_match(place, MatchExp.from_object({key: value}), member))  # type: ignore[misc]
    elif isinstance(where, MatchExp):
        _check_match(place, where, member)
    elif member.mapped_class is not None and not member.is_open:
        place.try_(lambda: compile_where(where, member.mapped_class, member.column))
    elif not member.is_open:
        place.try_(lambda: compile_where(where, _StandIn(member), member.column))


def _check_match(place: _Place, expression: MatchExp, member: Outline) -> None:
    for atom in atoms_of(expression):

        def check(atom: Atom = atom) -> None:
            check_operand(atom, member.column)
            compile_where(atom, member.mapped_class, member.column)

        place.try_(check)


class _StandIn:
    """Stands for the class of a record that is not mapped yet, in functions that take it."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline

    def __getattr__(self, name: str) -> ColumnElement[Any]:
        if name not in self._outline.columns and not self._outline.has(name):
            raise AttributeError(f"type object {self._outline.name!r} has no attribute {name!r}")
        found = self._outline.columns.get(name)
        if found is None:
            raise NotYetKnown(name)
        return found  # type: ignore[no-any-return]


def _attribute_checks(query: Iterable[Any], member: Outline, prefix: str = "") -> Iterator[Callable[[], Any]]:
    """Yield a check for each name in an attribute query."""
    for item in query:
        match item:
            case "*":
                pass
            case str():
                yield lambda path=f"{prefix}{item}": member.column(path)  # type: ignore[misc]
            case (str() as name, [*nested] | {"attribute_query": [*nested]}):
                path = f"{prefix}{name}."
                yield lambda path=path: member.follow(path)  # type: ignore[misc]
                yield from _attribute_checks(nested, member, path)
            case _:
                yield lambda item=item: _refuse_attribute(item)  # type: ignore[misc]


def _refuse_attribute(item: Any) -> None:
    raise DefinitionFault(
        f'attribute_query holds {item!r}; give names, "*", or a relationship with its own: ("product", ["price"])'
    )
