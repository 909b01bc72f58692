"""Listeners of the application, called after every write inside its transaction."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from ..definitions.events import MutationEvent
from .state import SessionState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

Hear: TypeAlias = Callable[["Session", tuple[MutationEvent, ...]], None]


class WriteListener:
    """A listener that was registered by :meth:`.Storage.listen`."""

    __slots__ = ("_hear", "_listeners")

    def __init__(self, listeners: WriteListeners, hear: Hear) -> None:
        self._listeners = listeners
        self._hear = hear

    def remove(self) -> None:
        """Unregister the listener; idempotent."""
        self._listeners.discard(self)

    def hear(self, session: Session, events: tuple[MutationEvent, ...]) -> None:
        """Call the listener with the events of one write."""
        self._hear(session, events)


class WriteListeners:
    """The listeners of one system, in the order in which they were registered."""

    def __init__(self) -> None:
        self._all: tuple[WriteListener, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, hear: Hear) -> WriteListener:
        """Register a function that is called once for each write."""
        listener = WriteListener(self, hear)
        self._all = (*self._all, listener)
        return listener

    def discard(self, listener: WriteListener) -> None:
        """Remove a listener."""
        self._all = tuple(other for other in self._all if other is not listener)

    def follow(self, state: SessionState) -> None:
        """Start collecting events in a session if there are listeners, and stop if there are none."""
        if self._all and self not in state.listeners:
            state.listeners.append(self)
            state.transaction.told = len(state.transaction.events)
        elif not self._all and self in state.listeners:
            state.listeners.remove(self)

    def tell(self, session: Session, events: tuple[MutationEvent, ...]) -> None:
        """Call all listeners with the events of one write."""
        for listener in self._all:
            listener.hear(session, events)


def tell_listeners(session: Any) -> None:
    """Call the listeners of ``session`` with the events since their last call.

    A flush, or a call that writes in several steps, is one write; listeners are called at its end.
    """
    state = SessionState.of(session)
    if not state.listeners or state.holds_back or state.flushes:
        return
    transaction = state.transaction
    events = tuple(_net_memberships(transaction.events[transaction.told :], state.filtered))
    transaction.told = len(transaction.events)
    if not events:
        return
    is_flushing = session._flushing
    # the flush has finished its writes and bookkeeping, so that listeners may flush again
    session._flushing = False
    try:
        for listeners in tuple(state.listeners):
            listeners.tell(session, events)
    finally:
        session._flushing = is_flushing


def _net_memberships(
    events: Sequence[MutationEvent], filtered: Mapping[str, tuple[str, ...]]
) -> Sequence[MutationEvent]:
    """Return ``events`` without those of rows that, within one write, leave a filtered record and enter it again.

    :param filtered: the attributes of the key of each filtered record, by its name.
    """
    moves: dict[tuple[Any, ...], list[int]] = {}
    for place, event in enumerate(events) if filtered else ():
        if (key := filtered.get(event.record_name)) is not None:
            moves.setdefault((event.record_name, *(event.record[name] for name in key)), []).append(place)
    # they alternate: of an odd number the last one remains
    dropped = {place for places in moves.values() for place in (places[:-1] if len(places) % 2 else places)}
    return [event for place, event in enumerate(events) if place not in dropped] if dropped else events


@contextmanager
def as_one_write(session: Session) -> Generator[None]:
    """Call the listeners once for all writes inside the block, at its end."""
    state = SessionState.of(session)
    before, state.holds_back = state.holds_back, True
    try:
        yield
    finally:
        state.holds_back = before
    tell_listeners(session)
