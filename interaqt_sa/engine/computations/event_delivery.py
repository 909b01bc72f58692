"""Collect mutation events, and pass them to state machines, Transforms and listeners."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Mapper, Session

from ...definitions.events import MutationEvent, RecordView
from ...errors import SchedulerError
from ...schema.record_lookup import record_name
from ...session.state import SessionState
from ..database.value_round_trip import same_value
from ..propagation.propagation import Propagation
from .run_reactions import run_effect

if TYPE_CHECKING:
    from ..database.loaded_objects import Memory
    from ..plan import Derivation, Machine, Reaction
    from ..propagation.listener_protocol import RowsByClass
    from ..sql.statement_cache import Statements

#: length of a chain of events from which on the events of each row are counted
_UNCOUNTED_DEPTH = 50
#: a row with more events than this is on a cycle
_MAX_EVENTS = 1000
#: maximum length of a chain of events of different rows, such as derived rows that cause further ones
_MAX_DEPTH = 20_000
#: maximum length of a chain of rows derived from derived rows, each of which has to be inserted
_MAX_GENERATIONS = 2000


class Mutations:
    """The mutation events of one write, and of the reactions to it."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._plan = propagation.db.statements.plan
        self._state = SessionState.of(propagation.db.session)
        self._queue: deque[tuple[Mapper[Any], MutationEvent, int, int]] = deque()
        self._depth = self._deepest = 0
        self._generation = self._last_generation = 0
        self._is_deriving = False
        self._events: dict[tuple[Any, ...], int] = defaultdict(int)

    @property
    def hears_all(self) -> bool:
        """Whether events of all records are collected."""
        return self._state.wants_events

    def wanted(self, mapper: Mapper[Any]) -> bool:
        """Whether events of ``mapper`` or of a subclass are wanted by a listener or reaction."""
        return self._state.wants_events or self.has_reactions(mapper)

    def has_reactions(self, mapper: Mapper[Any]) -> bool:
        """Whether events of ``mapper`` or of a subclass may trigger reactions, and so must contain whole rows."""
        return self._plan.is_narrowed(mapper) or bool(self._plan.reactions_to(mapper))

    # -- events ------------------------------------------------------------------------------------------------

    def created(self, mapper: Mapper[Any], rows: Iterable[Mapping[str, Any]]) -> None:
        """Record inserted rows."""
        for row in rows:
            self._add(mapper, MutationEvent("create", record_name(mapper), RecordView(row)))

    def updated(self, mapper: Mapper[Any], pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Record pairs of old and new rows; pairs without a difference are ignored."""
        for old, new in pairs:
            moved = ((name, old[name], now) for name, now in new.items() if name in old and old[name] is not now)
            keys = frozenset(name for name, before, now in moved if not same_value(before, now))
            if keys:
                self._add(mapper, MutationEvent("update", record_name(mapper), RecordView(new), RecordView(old), keys))

    def deleted(self, mapper: Mapper[Any], rows: Iterable[Mapping[str, Any]]) -> None:
        """Record deleted rows."""
        for row in rows:
            self._add(mapper, MutationEvent("delete", record_name(mapper), RecordView(row)))

    def changed(self, old: RowsByClass, new: RowsByClass) -> None:
        """Record changed rows; rows missing in ``new`` were deleted, or have another class."""
        for mapper, rows in old.items():
            now = new.get(mapper, {})
            self.updated(mapper, [(row, now[key]) for key, row in rows.items() if key in now])
            if not now.keys() >= rows.keys():
                self.deleted(mapper, [row for key, row in rows.items() if key not in now])
        for mapper, rows in new.items():
            before = old.get(mapper, {})
            if not before.keys() >= rows.keys():
                self.created(mapper, [row for key, row in rows.items() if key not in before])

    def _add(self, mapper: Mapper[Any], event: MutationEvent) -> None:
        self._state.transaction.events.append(event)
        if self._plan.reactions_to(mapper):
            is_derived = self._is_deriving and event.type == "create"
            self._queue.append((mapper, event, self._depth + 1, self._generation + is_derived))

    # -- reactions ---------------------------------------------------------------------------------------------

    def react(self) -> bool:
        """Run the reactions to the events so far; return whether there were any events."""
        found = bool(self._queue)
        while self._queue:
            mapper, event, self._depth, self._generation = self._queue.popleft()
            self._refuse_cycle(mapper, event)
            for effect, reactions in self._fired(mapper, event).items():
                self._run(effect, reactions, event)
        # events of values that are computed from these events are one level deeper
        self._depth, self._generation = self._deepest, self._last_generation
        return found

    def _refuse_cycle(self, mapper: Mapper[Any], event: MutationEvent) -> None:
        self._deepest = max(self._deepest, self._depth)
        self._last_generation = max(self._last_generation, self._generation)
        if self._depth <= _UNCOUNTED_DEPTH:
            return
        names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        row = (mapper.base_mapper, *(event.record[name] for name in names))
        self._events[row] += 1
        is_endless = self._depth > _MAX_DEPTH or self._generation > _MAX_GENERATIONS
        if self._events[row] > _MAX_EVENTS or is_endless:
            shown = ", ".join(map(repr, row[1:]))
            raise SchedulerError(
                f"events keep triggering each other, most recently the {event.type} of {event.record_name} {shown}; "
                "break the cycle of transforms and state machines",
                record=event.record_name,
                path=[event.record_name],
            )

    def _fired(self, mapper: Mapper[Any], event: MutationEvent) -> dict[Machine | Derivation, list[Reaction]]:
        """Return each triggered effect once, with the reactions that trigger it."""
        fired: dict[Machine | Derivation, list[Reaction]] = {}
        for reaction in self._plan.reactions_to(mapper):
            if reaction.fires(event):
                fired.setdefault(reaction.effect, []).append(reaction)
        return fired

    def _run(self, effect: Machine | Derivation, reactions: Sequence[Reaction], event: MutationEvent) -> None:
        self._is_deriving = effect.adds_rows
        try:
            run_effect(effect, self._propagation, reactions, event, self._state.context)
        finally:
            self._is_deriving = False


def start_propagation(
    session: Session, statements: Statements, memory: Memory, options: Mapping[str, Any] | None = None
) -> Propagation:
    """Return a propagation that publishes events of its writes; ``options`` are those of its statements."""
    propagation = Propagation(session, statements, memory, options)
    propagation.mutations = Mutations(propagation)
    return propagation
