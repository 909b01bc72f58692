"""Event sources, and side effects of committed record mutations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import DefinitionFault
from .type_aliases import RecordRef

#: A function called by a dispatch; under an asynchronous controller it may be a coroutine function.
Hook: TypeAlias = Callable[..., Any]
#: The arguments of a dispatch: plain data.
Args: TypeAlias = Mapping[str, Any]

_HOOKS = ("guard", "map_event_data", "resolve", "after_dispatch", "post_commit")


@dataclass(frozen=True, init=False, repr=False, eq=False)
class EventSource:
    """A kind of event that can be dispatched; each dispatch stores a row of ``entity``.

    The functions run in the order in which they are listed. All but the last run inside the transaction, and again when
    it is retried, so they must not have effects outside the database. Under an :class:`.AsyncController` each may be a
    coroutine function.

    :param name: unique among the event sources of a controller.
    :param entity: the record of the stored events.
    :param guard: ``guard(ctx, args)`` raises a :class:`.FrameworkError`, such as :class:`.InteractionGuardError`, to
        reject the dispatch, or returns ``False``.
    :param map_event_data: ``map_event_data(ctx, args)`` returns the attributes of the stored event; default: none.
    :param resolve: ``resolve(ctx, args)`` returns the ``data`` of the result.
    :param after_dispatch: ``after_dispatch(ctx, args, data)`` returns a mapping, the ``context`` of the result, or
        ``None``.
    :param post_commit: ``post_commit(ctx, args, data, context)`` runs after the commit, once; a mapping that it
        returns is merged into ``context``.
    :param idempotency: reserved; must be ``None``.
    :raises DefinitionFault: if the name is empty or not a string, ``entity`` is ``None``, or ``idempotency`` is given.

    ::

        ship = EventSource("ship", ShipOrder, map_event_data=lambda ctx, args: {"order_id": args["order_id"]})
    """

    name: str
    entity: RecordRef
    guard: Hook | None
    map_event_data: Hook | None
    resolve: Hook | None
    after_dispatch: Hook | None
    post_commit: Hook | None

    def __init__(
        self,
        name: str,
        entity: RecordRef,
        *,
        guard: Callable[[Any, Any], Any] | None = None,
        map_event_data: Callable[[Any, Any], Any] | None = None,
        resolve: Callable[[Any, Any], Any] | None = None,
        after_dispatch: Callable[[Any, Any, Any], Any] | None = None,
        post_commit: Callable[[Any, Any, Any, Any], Any] | None = None,
        idempotency: Any = None,
    ) -> None:
        _check_name(name)
        if entity is None:
            raise DefinitionFault(f"event source {name!r} needs an entity, the record in which its events are stored")
        if idempotency is not None:
            raise DefinitionFault(f"event source {name!r}: idempotency= is reserved and cannot be given yet")
        values = (name, entity, guard, map_event_data, resolve, after_dispatch, post_commit)
        for key, value in zip(("name", "entity", *_HOOKS), values, strict=True):
            object.__setattr__(self, key, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def callbacks(self) -> Iterator[tuple[str, Hook]]:
        """Yield the names and functions of the hooks that are set."""
        for name in _HOOKS:
            hook = getattr(self, name)
            if hook is not None:
                yield name, hook

    def references(self) -> Iterator[tuple[str, RecordRef]]:
        """Yield the records that the event source names, each after the name of the parameter."""
        yield "entity", self.entity

    def arguments_outline(self) -> str:
        """Return what a dispatch passes to the functions, for messages."""
        return "{…}"

    def trigger_pattern(self) -> Mapping[str, Any] | None:
        """Return the pattern of this source's events in a shared entity; ``None`` if the entity is not shared."""
        return None


def _check_name(name: object) -> None:
    # not check_name(): it is never part of a path or an identifier
    if not isinstance(name, str) or not name:
        raise DefinitionFault(f"the name of an event source must be a string that is not empty, not {name!r}")


@dataclass(frozen=True, slots=True)
class RecordMutationSideEffect:
    """A function called after the commit of a dispatch, for each mutation event of a record.

    :param name: key of the outcome in ``DispatchResult.side_effects``.
    :param record: the record whose mutation events are passed: name, definition or mapped class; those of its mapped
        subclasses are passed too.
    :param content: ``content(ctx, event)``, called once for each :class:`.MutationEvent`, in order. An exception is
        stored in the result as a :class:`.SideEffectError`, and affects nothing else.

    ::

        RecordMutationSideEffect("mail", Shipment, lambda ctx, event: send_mail(event.record["order_id"]))
    """

    name: str
    record: RecordRef
    content: Callable[[Any, Any], Any]
