"""Checks of the names in computations; one fault for each invalid name."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Column, ColumnElement

from ...definitions.computation import Computation
from ...definitions.event_source import EventSource
from ...definitions.events import Trigger
from ...definitions.match import MatchExp
from ...definitions.records import ref_name
from ...definitions.references import References
from ...errors import DefinitionFault
from ..computed import check_state
from ..faults import Faults, NotYetKnown
from ..predicates.expression_columns import check_columns
from ..predicates.match import compile_where
from ..predicates.predicate_values import check_literals, check_operands, parts_of
from .column_checks import check_column
from .dependency_checks import check_dependencies, query_paths
from .record_outlines import Outline, Outlines
from .self_dependencies import SelfDependencies


class ComputationChecks:
    """Check computations against the known records.

    :param faults: collects the faults.
    """

    def __init__(self, outlines: Outlines, faults: Faults) -> None:
        self._outlines = outlines
        self._faults = faults
        self._self_dependencies = SelfDependencies()

    def check_value(
        self,
        computation: Computation[Any],
        column: Column[Any] | None,
        table: str,
        siblings: Iterable[Column[Any]],
        host: Outline | str,
        attribute: str,
    ) -> bool:
        """Collect the faults of a computed column, and return whether it has none.

        :param column: ``None`` if it has another fault already.
        :param table: name of its table.
        :param siblings: the columns of that table.
        :param host: its record; for the value of a dictionary, the dictionary's name.
        """
        place = _Place(self._faults, host, attribute)
        if column is not None:
            with place.caught():
                check_column(computation, column)
            with place.caught():
                check_state(table, siblings, computation, column)
        for fault in computation.faults():
            place.add(fault)
        named = computation.references()
        for trigger in named.triggers:
            with place.caught():
                self._check_trigger(trigger)
        if named.members is not None:
            self._check_members(place, computation, named, column, host)
        if named.dependencies:
            self._check_dependencies(place, named, column, host)
        return place.is_sound

    def check_rows(self, rows: Any, table: str, columns: Iterable[Column[Any]], target: Outline) -> bool:
        """Collect the faults of a ``__computation__``, if a record has one; return whether it has none."""
        place = _Place(self._faults, target, None)
        if not isinstance(rows, Computation) or rows.gives_value:
            if rows is not None:
                place.add(f"__computation__ derives whole rows: it must be a Transform, not {rows!r}")
            return place.is_sound
        named: References = rows.references()
        if named.origin is not None:
            with place.caught():
                check_state(table, columns, rows, None)
            with place.caught():
                self._check_origin(named)
        for trigger in named.triggers:
            with place.caught():
                self._check_trigger(trigger)
        return place.is_sound

    def _check_origin(self, named: References) -> None:
        origin = self._outlines.find(named.origin)
        given = named.origin_attributes
        stored = {name for name, column in origin.columns.items() if column is None or isinstance(column, Column)}
        unknown = [n for n in given if not isinstance(n, str) or n not in stored]
        if unknown and not origin.is_open:
            raise DefinitionFault(
                f"attribute_query names {unknown}, which {origin.name} does not have; "
                f"it has {', '.join(sorted(stored))}"
            )

    def _check_trigger(self, trigger: Trigger) -> None:
        ref = trigger.record_name
        if self._outlines.is_held(ref):
            if trigger.keys or trigger.type == "update":
                raise DefinitionFault(
                    f"relation {ref_name(ref)!r} is held by a foreign key and has no values that are updated; "
                    "wait for its create and delete"
                )
            return
        if self._outlines.is_filtered(ref) and trigger.type == "update":
            raise DefinitionFault(
                f"{ref_name(ref)!r} is a filtered record, which rows enter and leave; wait for its create and "
                "delete, or for updates of its base"
            )
        try:
            record = self._outlines.find(ref)
        except DefinitionFault as fault:
            if isinstance(fault, NotYetKnown) or not isinstance(ref, EventSource):
                raise
            raise DefinitionFault(f"{fault}; give {ref!r} to event_sources of a controller") from fault
        unknown = [key for key in trigger.keys or () if not record.has(key)]
        if unknown:
            raise DefinitionFault(f"the trigger's keys {unknown} are not attributes of {record.name}")

    # -- members -----------------------------------------------------------------------------------------------

    def _check_members(
        self,
        place: _Place,
        computation: Computation[Any],
        named: References,
        column: Column[Any] | None,
        host: Outline | str,
    ) -> None:
        with place.caught():
            member = self._member(type(computation).__name__, named, host)
            for where in named.conditions:
                _check_where(place, where, member)
            _check_attributes(place, named.attribute_query, member)
            fields = {name: member.column(name).type for name in named.fields}
            if column is not None:
                computation.check_fields(column, fields)
        if column is not None and isinstance(host, Outline):
            with suppress(DefinitionFault):  # already collected
                self._self_dependencies.add(host, place.attribute, column, named)

    def _check_dependencies(
        self, place: _Place, named: References, column: Column[Any] | None, host: Outline | str
    ) -> None:
        check_dependencies(named, host, place.attribute, self._outlines, place.caught)
        for dependency in named.dependencies if place.is_sound else ():
            if dependency.match is not None:
                with place.caught():
                    _check_where(place, dependency.match, self._outlines.find(dependency.source))
        if place.is_sound and column is not None and isinstance(host, Outline):
            own = [dependency for dependency in named.dependencies if dependency.kind == "property"]
            paths = [path for dependency in own for path in query_paths(dependency.attribute_query, dependency.name)]
            self._self_dependencies.add_own(host, place.attribute, column, paths)

    def check_self_dependencies(self) -> None:
        """Collect a fault for each self-dependent computation among those that have been checked."""
        self._faults.found += self._self_dependencies.faults()

    def _member(self, kind: str, named: References, host: Outline | str) -> Outline:
        if isinstance(host, str):
            return self._outlines.find(named.members)
        way = host.way(named.members)
        if named.to_many and way.is_many is False:
            raise DefinitionFault(f"{kind} needs a relationship to many, not {host.name}.{named.members}")
        return way.target()


class _Place:
    """A checked declaration, whose faults are collected so that all checks run."""

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
        """Collect a fault that is raised inside the block, and suppress it."""
        try:
            yield
        except NotYetKnown:
            pass
        except DefinitionFault as fault:
            self.add(str(fault), fault.__cause__)

    def add(self, message: str, cause: BaseException | None = None) -> None:
        if message not in self._found:  # two transfers may name the same unknown record
            self._found.add(message)
            self._faults.add(f"{self._where}: {message}", record=self._record, property=self._property)
            self._faults.found[-1].__cause__ = cause


def check_condition(faults: Faults, record: str, where: Any, base: Outline) -> None:
    """Collect the faults of the condition of a filtered record.

    :param base: the record whose columns and x:1 paths it reads.
    """
    _check_where(_Place(faults, Outline(record, {}), None), where, base)


def _check_where(place: _Place, where: Any, member: Outline) -> None:
    for part in parts_of(where):
        with place.caught():
            if isinstance(part, (Mapping, MatchExp)):
                check_operands(part, member.column)
                check_literals(compile_where(part, member.mapped_class, member.column))
            elif member.mapped_class is not None:
                compiled = compile_where(part, member.mapped_class, member.column)
                check_columns(compiled, member.stored, member.name)
                check_literals(compiled)
            elif not member.is_open:
                _try_where(part, member)


def _try_where(where: Any, member: Outline) -> None:
    try:
        compiled = compile_where(where, _StandIn(member), member.column)
        check_columns(compiled, member.stored, member.name)
        check_literals(compiled)
    except DefinitionFault as fault:
        # a function of the mapped class may fail with the stand-in
        if isinstance(fault.__cause__, Exception):
            raise NotYetKnown(str(fault)) from fault
        raise


class _StandIn:
    """A stand-in for the class of a record that is not mapped yet, passed to functions of the class."""

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
