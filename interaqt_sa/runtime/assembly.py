"""What controllers of both worlds are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData

from ..definitions.computation import RecordRef
from ..definitions.dictionary import Dictionary
from ..definitions.event_source import EventSource, RecordMutationSideEffect
from ..definitions.records import Entity, Relation, ref_name
from ..definitions.validation import refuse_coroutine_function
from ..engine.plan import Plan
from ..errors import ComputationProtocolError, DefinitionError, DefinitionFault
from ..schema.catalog import Catalog
from ..schema.compile import compile_schema
from ..schema.configuration import configure_if_complete
from ..schema.faults import Faults
from ..schema.records import resolve_record
from .aftermath import Aftermath, OpenContext
from .dispatch import Dispatcher

if TYPE_CHECKING:
    from .system import System


def assemble(
    system: System,
    *,
    entities: Iterable[Entity],
    relations: Iterable[Relation],
    dictionaries: Iterable[Dictionary],
    event_sources: Iterable[EventSource],
    side_effects: Iterable[RecordMutationSideEffect],
    open_context: OpenContext,
    sleep: Callable[[float], None],
    awaits: bool,
    ignore_guard: bool,
    raise_errors: bool,
) -> Dispatcher:
    """Compile the definitions onto the base of ``system`` and return what dispatches.

    :param awaits: whether the functions of a dispatch may be coroutine functions.
    :raises DefinitionError: with all faults of definitions, event sources and side effects, and those of computations
        if the definitions have none.
    """
    sources, effects = list(event_sources), list(side_effects)
    listed, related = list(entities), list(relations)
    records: list[Entity | Relation] = [*listed, *related]
    faults = Faults()
    _check(sources, effects, faults, awaits=awaits)
    try:
        compile_schema(
            system.metadata,
            entities=listed,
            relations=related,
            dictionaries=dictionaries,
            event_sources=sources,
        )
        records = []
    except DefinitionError as error:
        faults.found += error.context["faults"]
        records += [source.entity for source in sources if isinstance(source.entity, Entity)]
    # what did not compile is known nevertheless
    known = {str(getattr(record, "name", "")) for record in records}
    _check_references(system.metadata, sources, effects, known, faults)
    if faults.found and not records:
        faults.found += _faults_of_computations(system.metadata)
    if faults.found:
        raise DefinitionError("the controller cannot be made", faults.found)
    Catalog.of(system.metadata).event_sources.update(source.name for source in sources)
    return Dispatcher(
        system.metadata,
        sources,
        Aftermath(system.metadata, effects, open_context),
        add_row=system._keeper.add_row,  # pyright: ignore[reportPrivateUsage]  # both are of this package
        open_context=open_context,
        session_factory=system.session_factory,
        sleep=sleep,
        isolation=system.isolation,
        ignore_guard=ignore_guard,
        raise_errors=raise_errors,
    )


def _check(
    sources: list[EventSource], effects: list[RecordMutationSideEffect], faults: Faults, *, awaits: bool
) -> None:
    for kind, named in (("event source", sources), ("side effect", effects)):
        names: set[str] = set()
        for value in named:
            if value.name in names:
                faults.add(f"{kind} {value.name!r} is given twice; names are unique")
            names.add(value.name)
    if not awaits:
        for where, function in _functions(sources, effects):
            try:
                refuse_coroutine_function(function, where)
            except ComputationProtocolError:
                faults.add(f"{where} is a coroutine function; give a plain function, or use AsyncController")


def _check_references(
    metadata: MetaData,
    sources: list[EventSource],
    effects: list[RecordMutationSideEffect],
    known: set[str],
    faults: Faults,
) -> None:
    for where, ref in _references(sources, effects):
        with faults.caught(where):
            if isinstance(ref, type) or ref_name(ref) not in known:
                resolve_record(metadata, ref)


def _references(sources: list[EventSource], effects: list[RecordMutationSideEffect]) -> Iterator[tuple[str, RecordRef]]:
    for source in sources:
        for name, ref in source.references():
            yield f"{name} of {source.name!r}", ref
    for effect in effects:
        yield f"side effect {effect.name!r}", effect.record


def _faults_of_computations(metadata: MetaData) -> list[DefinitionFault]:
    if configure_if_complete(metadata):  # otherwise setup() tells
        try:
            Plan.of(metadata)
        except DefinitionError as error:
            return [*error.context["faults"]]
    return []


def _functions(
    sources: list[EventSource], effects: list[RecordMutationSideEffect]
) -> Iterable[tuple[str, Callable[..., Any]]]:
    for source in sources:
        for name, function in source.callbacks():
            yield f"{name} of {source.name!r}", function
    for effect in effects:
        yield f"content of side effect {effect.name!r}", effect.content
