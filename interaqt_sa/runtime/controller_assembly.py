"""Construction shared by the sync and async controllers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ..definitions.dictionary import Dictionary
from ..definitions.event_source import EventSource, RecordMutationSideEffect
from ..definitions.records import Entity, Relation
from ..definitions.short_repr import with_article
from ..definitions.type_aliases import RecordRef
from ..definitions.validation import is_coroutine_function
from ..schema.compile_schema import Compilation
from ..schema.faults import Faults
from ..schema.metadata_state import Catalog
from .dispatch import Dispatcher
from .post_commit import Aftermath, OpenContext

if TYPE_CHECKING:
    from .system import System

T = TypeVar("T")


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
    """Compile the definitions on the base of ``system`` and return the dispatcher.

    :param awaits: whether the functions of a dispatch may be coroutine functions.
    :raises DefinitionError: with all faults of definitions, event sources and side effects, and of the computations
        beside them.
    """
    compilation = Compilation(system.metadata)
    sources = _only(EventSource, event_sources, compilation.faults)
    effects = _only(RecordMutationSideEffect, side_effects, compilation.faults)
    compilation.plan(entities, relations, dictionaries, sources)
    _check(sources, effects, compilation.faults, awaits=awaits)
    for where, ref in _references(sources, [e for e in effects if not compilation.outlines.is_held(e.record)]):
        with compilation.faults.caught(where):
            compilation.outlines.find(ref)
    compilation.finish("the controller cannot be made")
    Catalog.of(system.metadata).event_sources.update(source.name for source in sources)
    return Dispatcher(
        system.metadata,
        sources,
        Aftermath(system.metadata, effects, open_context),
        add_row=system._engine.add_row,  # pyright: ignore[reportPrivateUsage]  # both are of this package
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
    for where, function in _functions(sources, effects):
        if not callable(function):
            faults.add(f"{where} is {function!r}, which is not a function")
        elif not awaits and is_coroutine_function(function):
            faults.add(f"{where} is a coroutine function; give a plain function, or use AsyncController")


def _only(kind: type[T], given: Iterable[Any], faults: Faults) -> list[T]:
    listed = list(given)
    for value in listed:
        if not isinstance(value, kind):
            faults.add(f"{value!r} is not {with_article(kind.__name__)}")
    return [value for value in listed if isinstance(value, kind)]


def _references(sources: list[EventSource], effects: list[RecordMutationSideEffect]) -> Iterator[tuple[str, RecordRef]]:
    for source in sources:
        for name, ref in source.references():
            yield f"{name} of {source.name!r}", ref
    for effect in effects:
        yield f"side effect {effect.name!r}", effect.record


def _functions(sources: list[EventSource], effects: list[RecordMutationSideEffect]) -> Iterable[tuple[str, Any]]:
    for source in sources:
        for name, function in source.callbacks():
            yield f"{name} of {source.name!r}", function
    for effect in effects:
        yield f"content of side effect {effect.name!r}", effect.content
