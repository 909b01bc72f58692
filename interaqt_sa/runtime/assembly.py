"""What controllers of both worlds are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..definitions.dictionary import Dictionary
from ..definitions.event_source import EventSource, RecordMutationSideEffect
from ..definitions.records import Entity, Relation
from ..definitions.validation import refuse_coroutine_function
from ..errors import ComputationProtocolError, DefinitionError, DefinitionFault
from ..schema.compile import compile_schema
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
    :raises DefinitionError: with all faults of event sources and side effects, or all of the definitions.
    """
    sources, effects = list(event_sources), list(side_effects)
    _check(sources, effects, awaits=awaits)
    compile_schema(
        system.metadata, entities=entities, relations=relations, dictionaries=dictionaries, event_sources=sources
    )
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


def _check(sources: list[EventSource], effects: list[RecordMutationSideEffect], *, awaits: bool) -> None:
    faults: list[DefinitionFault] = []
    for kind, named in (("event source", sources), ("side effect", effects)):
        names: set[str] = set()
        for value in named:
            if value.name in names:
                faults.append(DefinitionFault(f"{kind} {value.name!r} is given twice; names are unique"))
            names.add(value.name)
    if not awaits:
        for where, function in _functions(sources, effects):
            try:
                refuse_coroutine_function(function, where)
            except ComputationProtocolError:
                fault = f"{where} is a coroutine function; give a plain function, or use AsyncController"
                faults.append(DefinitionFault(fault))
    if faults:
        raise DefinitionError("the controller cannot be made", faults)


def _functions(
    sources: list[EventSource], effects: list[RecordMutationSideEffect]
) -> Iterable[tuple[str, Callable[..., Any]]]:
    for source in sources:
        for name, function in source.callbacks():
            yield f"{name} of {source.name!r}", function
    for effect in effects:
        yield f"content of side effect {effect.name!r}", effect.content
