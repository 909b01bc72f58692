"""Whether what computations name is there, and fits: one fault for each name that is wrong."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Column, ColumnElement

from ..definitions.aggregates import Aggregate, Average, Every, Summation
from ..definitions.aggregates import Any as AnyOf
from ..definitions.computation import Computation
from ..definitions.event_source import EventSource
from ..definitions.events import Trigger
from ..definitions.match import MatchExp
from ..definitions.state_machine import StateMachine
from ..definitions.transform import Transform
from ..errors import DefinitionFault
from .circles import Circles
from .computed import check_state
from .expressions import check_columns
from .faults import Faults, NotYetKnown
from .match import compile_where
from .operands import check_operands, parts_of
from .outlines import Outline, Outlines
from .value_columns import check_column, check_sum


class References:
    """Checks computations against the records that there are.

    :param faults: takes what is wrong.
    """

    def __init__(self, outlines: Outlines, faults: Faults) -> None:
        self._outlines = outlines
        self._faults = faults
        self._circles = Circles()

    def check_value(
        self,
        computation: Computation[Any],
        column: Column[Any] | None,
        table: str,
        siblings: Iterable[Column[Any]],
        host: Outline | str,
        attribute: str,
    ) -> bool:
        """Note what is wrong with a computed column, and return whether nothing is.

        :param column: ``None`` if something else is wrong with it.
        :param table: name of its table, which has the columns ``siblings``.
        :param host: its record; for the value of a dictionary, the dictionary's name.
        """
        place = _Place(self._faults, host, attribute)
        if column is not None:
            with place.caught():
                check_column(computation, column)
            with place.caught():
                check_state(table, siblings, computation, column)
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
                    with place.caught():
                        self._check_trigger(transfer.trigger)
            case _:
                pass
        return place.is_sound

    def check_transform(self, transform: Any, table: str, columns: Iterable[Column[Any]], target: Outline) -> bool:
        """Note what is wrong with derived rows, if there are any, and return whether nothing is."""
        place = _Place(self._faults, target, None)
        if not isinstance(transform, Transform):
            if transform is not None:
                place.add(f"__computation__ derives whole rows: it must be a Transform, not {transform!r}")
            return place.is_sound
        if transform.record is not None:
            with place.caught():
                check_state(table, columns, transform, None)
            with place.caught():
                self._check_source(transform)
        for dependency in (transform.event_deps or {}).values():
            with place.caught():
                self._check_trigger(dependency)
        return place.is_sound

    def _check_source(self, transform: Transform) -> None:
        origin = self._outlines.find(transform.record)
        given = transform.attribute_query or ()
        stored = {name for name, column in origin.columns.items() if column is None or isinstance(column, Column)}
        unknown = [n for n in given if not isinstance(n, str) or n not in stored]
        if unknown and not origin.is_open:
            raise DefinitionFault(
                f"attribute_query names {unknown}, which {origin.name} has not; it has {', '.join(sorted(stored))}"
            )

    def _check_trigger(self, trigger: Trigger) -> None:
        ref = trigger.record_name
        try:
            record = self._outlines.find(ref)
        except DefinitionFault as fault:
            if isinstance(fault, NotYetKnown) or not isinstance(ref, EventSource):
                raise
            raise DefinitionFault(f"{fault}; give {ref!r} to event_sources of a controller") from fault
        unknown = [key for key in trigger.keys or () if not record.has(key)]
        if unknown:
            raise DefinitionFault(f"the trigger's keys {unknown} are no attributes of {record.name}")

    # -- aggregates --------------------------------------------------------------------------------------------

    def _check_aggregate(
        self, place: _Place, computation: Aggregate[Any], column: Column[Any] | None, host: Outline | str
    ) -> None:
        with place.caught():
            member = self._member(computation, host)
            for where in (computation.where, getattr(computation, "expression", None)):
                if where is not None:
                    _check_where(place, where, member)
            _check_attributes(place, computation.attribute_query or (), member)
            if isinstance(computation, (Summation, Average)):
                _check_field(computation, column, member)
        if column is not None and isinstance(host, Outline):
            with suppress(DefinitionFault):  # it has been noted
                self._circles.add(host, place.attribute, column, computation)

    def check_circles(self) -> None:
        """Note the values that are computed from themselves, among all that have been checked."""
        self._faults.found += self._circles.faults()

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
        self.attribute = attribute or ""
        self._found: set[str] = set()

    @property
    def is_sound(self) -> bool:
        return not self._found

    @contextmanager
    def caught(self) -> Generator[None]:
        """Note a fault that is raised inside, and go on after the block."""
        try:
            yield
        except NotYetKnown:
            pass
        except DefinitionFault as fault:
            self.add(str(fault), fault.__cause__)

    def add(self, message: str, cause: BaseException | None = None) -> None:
        if message not in self._found:  # two transfers may wait for one unknown record
            self._found.add(message)
            self._faults.add(f"{self._where}: {message}", record=self._record, property=self._property)
            self._faults.found[-1].__cause__ = cause


def _check_field(computation: Summation | Average, column: Column[Any] | None, member: Outline) -> None:
    field = member.column(computation.field)
    if column is not None:
        check_sum(computation, column, field.type)


def _check_where(place: _Place, where: Any, member: Outline) -> None:
    for part in parts_of(where):
        with place.caught():
            if isinstance(part, (Mapping, MatchExp)):
                check_operands(part, member.column)
                compile_where(part, member.mapped_class, member.column)
            elif member.mapped_class is not None:
                compiled = compile_where(part, member.mapped_class, member.column)
                check_columns(compiled, member.stored, member.name)
            elif not member.is_open:
                _try_where(part, member)


def _try_where(where: Any, member: Outline) -> None:
    try:
        compiled = compile_where(where, _StandIn(member), member.column)
        check_columns(compiled, member.stored, member.name)
    except DefinitionFault as fault:
        # what it does with a mapped class may be impossible with what stands for one
        if isinstance(fault.__cause__, Exception):
            raise NotYetKnown(str(fault)) from fault
        raise


class _StandIn:
    """Stands for the class of a record that is not mapped yet, in functions that take it."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline

    def __getattr__(self, name: str) -> ColumnElement[Any]:
        if not name.startswith("_") and not self._outline.has(name):
            raise DefinitionFault(f"type object {self._outline.name!r} has no attribute {name!r}")
        found = self._outline.columns.get(name)
        if found is None:
            raise NotYetKnown(name)
        return found  # type: ignore[no-any-return]


def _check_attributes(place: _Place, query: Iterable[Any], member: Outline, prefix: str = "") -> None:
    for item in query:
        with place.caught():
            match item:
                case "*":
                    pass
                case str():
                    member.column(f"{prefix}{item}")
                case (str() as name, [*nested] | {"attribute_query": [*nested]}):
                    path = f"{prefix}{name}."
                    member.follow(path)
                    _check_attributes(place, nested, member, path)
                case _:
                    raise DefinitionFault(
                        f'attribute_query holds {item!r}; give names, "*", or a relationship with its own: '
                        '("product", ["price"])'
                    )
