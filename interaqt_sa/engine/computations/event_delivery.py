"""Collect mutation events, and pass them to state machines, Transforms and listeners."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Mapper, Session

from ...definitions.events import MutationEvent, MutationType, RecordView
from ...errors import SchedulerError
from ...schema.filtered_lookup import visible
from ...schema.filtered_record import FilteredRecord
from ...schema.foreign_key_relations import HeldRelation
from ...schema.record_lookup import record_name
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
        self._state = propagation.db.state
        if keys := self._plan.filtered_keys:
            self._state.filtered.update(keys)
        self._queue: deque[tuple[Mapper[Any], MutationEvent, str | None, int, int]] = deque()
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
        return self._plan.may_react(mapper)

    # -- events ------------------------------------------------------------------------------------------------

    def created(self, mapper: Mapper[Any], rows: Iterable[Mapping[str, Any]]) -> None:
        """Record inserted rows, before the links that they store."""
        self.created_together([(mapper, rows)])

    def created_together(self, groups: Iterable[tuple[Mapper[Any], Iterable[Mapping[str, Any]]]]) -> None:
        """Record rows that were inserted together, before the links that they store."""
        links: list[tuple[Mapper[Any], HeldRelation, Mapping[str, Any]]] = []
        entered: list[tuple[Mapper[Any], FilteredRecord, Mapping[str, Any]]] = []
        for mapper, rows in groups:
            held, filtered = self._plan.held_by(mapper), self._plan.filtered_of(mapper)
            for row in rows:
                self._add_row(mapper, "create", RecordView(visible(row, filtered)))
                links += [(mapper, relation, row) for relation in held]
                entered += [(mapper, members, row) for members in filtered if members.contains(row)]
        for mapper, relation, row in links:
            self._add_link(mapper, "create", relation, relation.link(row))
        for mapper, members, row in entered:
            self._add_member(mapper, "create", members, row)

    def updated(self, mapper: Mapper[Any], pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Record pairs of old and new rows; pairs without a difference are ignored.

        Links that they no longer store come before them, new links after them; then the filtered records that they have
        left and entered.
        """
        for old, new in pairs:
            moved = ((name, old[name], now) for name, now in new.items() if name in old and old[name] is not now)
            keys = frozenset(name for name, before, now in moved if not same_value(before, now))
            if not keys:
                continue
            if filtered := self._plan.filtered_of(mapper):
                keys -= {members.attribute for members in filtered}
            if keys:
                self._updated(mapper, filtered, old, new, keys)
            for members in reversed(filtered):
                if members.contains(old) and not members.contains(new):
                    self._add_member(mapper, "delete", members, new)
            for members in filtered:
                if members.contains(new) and not members.contains(old):
                    self._add_member(mapper, "create", members, new)

    def _updated(
        self,
        mapper: Mapper[Any],
        filtered: Sequence[FilteredRecord],
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        keys: frozenset[str],
    ) -> None:
        moves = [held for held in self._plan.held_by(mapper) if held.column in keys or held.key in keys]
        for relation in moves:
            self._add_link(mapper, "delete", relation, relation.link(old))
        views = RecordView(visible(new, filtered)), RecordView(visible(old, filtered))
        merged = self._plan.merged_above(mapper)
        event = MutationEvent("update", record_name(merged[0] if merged else mapper), *views, keys)
        self._add(mapper, event)
        for above in merged:
            self._queue_for(mapper, event, record_name(above))
        for members in filtered:
            if members.contains(old) and members.contains(new):
                self._queue_for(mapper, event, members.name)
        for relation in moves:
            self._add_link(mapper, "create", relation, relation.link(new))

    def deleted(self, mapper: Mapper[Any], rows: Iterable[Mapping[str, Any]]) -> None:
        """Record deleted rows, after the links that they stored; rows before other rows that they refer to.

        They leave filtered records before all of this.
        """
        held, filtered = self._plan.held_by(mapper), self._plan.filtered_of(mapper)
        gone = list(rows)
        for members, row in ((members, row) for members in reversed(filtered) for row in gone):
            if members.contains(row):
                self._add_member(mapper, "delete", members, row)
        for row in gone:
            for relation in held:
                self._add_link(mapper, "delete", relation, relation.link(row))
        own = [relation for relation in held if relation.other.base_mapper is mapper.base_mapper]
        for row in _leaves_first(gone, own) if own and len(gone) > 1 else gone:
            self._add_row(mapper, "delete", RecordView(visible(row, filtered)))

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

    def _add_row(self, mapper: Mapper[Any], kind: MutationType, row: RecordView) -> None:
        """Record an inserted or deleted row; one of an input of merged entities also under their names.

        They are told of new rows before the input, and of deleted ones after it.
        """
        above = [record_name(merged) for merged in self._plan.merged_above(mapper)]
        own = record_name(mapper)
        for name in (*above, own) if kind == "create" else (own, *reversed(above)):
            self._add(mapper, MutationEvent(kind, name, row), None if name == own else name)

    def _add_link(
        self, mapper: Mapper[Any], kind: MutationType, relation: HeldRelation, link: Mapping[str, Any] | None
    ) -> None:
        if link is not None:
            ends = {side: RecordView(end) for side, end in link.items()}
            self._add(mapper, MutationEvent(kind, relation.name, RecordView(ends)), relation.name)

    def _add_member(
        self, mapper: Mapper[Any], kind: MutationType, members: FilteredRecord, row: Mapping[str, Any]
    ) -> None:
        view = RecordView(visible(row, self._plan.filtered_of(mapper)))
        self._add(mapper, MutationEvent(kind, members.name, view), members.name)

    def _add(self, mapper: Mapper[Any], event: MutationEvent, relation: str | None = None) -> None:
        self._state.transaction.events.append(event)
        self._queue_for(mapper, event, relation)

    def _queue_for(self, mapper: Mapper[Any], event: MutationEvent, relation: str | None) -> None:
        """Queue an event for the reactions to events under a name.

        :param relation: the relation in a foreign key, or the filtered record; ``None`` for the record itself.
        """
        if any(reaction.relation == relation for reaction in self._plan.reactions_to(mapper)):
            is_derived = self._is_deriving and event.type == "create"
            self._queue.append((mapper, event, relation, self._depth + 1, self._generation + is_derived))

    # -- reactions ---------------------------------------------------------------------------------------------

    def react(self) -> bool:
        """Run the reactions to the events so far; return whether there were any events."""
        found = bool(self._queue)
        while self._queue:
            mapper, event, relation, self._depth, self._generation = self._queue.popleft()
            self._refuse_cycle(mapper, event, relation)
            for effect, reactions in self._fired(mapper, event, relation).items():
                self._run(effect, reactions, event)
        # events of values that are computed from these events are one level deeper
        self._depth, self._generation = self._deepest, self._last_generation
        return found

    def _refuse_cycle(self, mapper: Mapper[Any], event: MutationEvent, relation: str | None) -> None:
        self._deepest = max(self._deepest, self._depth)
        self._last_generation = max(self._last_generation, self._generation)
        if self._depth <= _UNCOUNTED_DEPTH:
            return
        names = [mapper.get_property_by_column(column).key for column in mapper.primary_key]
        record = event.record
        is_link = names[0] not in record
        key = [end["id"] for end in record.values()] if is_link else [record[name] for name in names]
        row = (mapper.base_mapper if relation is None else relation, *key)
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

    def _fired(
        self, mapper: Mapper[Any], event: MutationEvent, relation: str | None
    ) -> dict[Machine | Derivation, list[Reaction]]:
        """Return each triggered effect once, with the reactions that trigger it."""
        fired: dict[Machine | Derivation, list[Reaction]] = {}
        for reaction in self._plan.reactions_to(mapper):
            if reaction.fires(event, relation):
                fired.setdefault(reaction.effect, []).append(reaction)
        return fired

    def _run(self, effect: Machine | Derivation, reactions: Sequence[Reaction], event: MutationEvent) -> None:
        self._is_deriving = effect.adds_rows
        try:
            run_effect(effect, self._propagation, reactions, event, self._state.context)
        finally:
            self._is_deriving = False


def _leaves_first(rows: list[Mapping[str, Any]], relations: Sequence[HeldRelation]) -> list[Mapping[str, Any]]:
    """Sort rows so that each comes before the other rows that it refers to; cycles are broken anywhere."""
    by_key = {row[relation.key]: row for row in rows for relation in relations[:1]}
    above = {key: {row.get(relation.column) for relation in relations} for key, row in by_key.items()}
    depths: dict[Any, int] = {}
    for start in by_key:
        waiting = [start]
        open_keys: set[Any] = set()
        while waiting:
            key = waiting[-1]
            further = [k for k in above[key] if k in by_key and k not in depths and k not in open_keys]
            open_keys.add(key)
            if further:
                waiting += further
                continue
            depths[key] = 1 + max((depths.get(k, 0) for k in above[key]), default=0)
            waiting.pop()
    return sorted(rows, key=lambda row: -depths[row[relations[0].key]])


def start_propagation(
    session: Session, statements: Statements, memory: Memory, options: Mapping[str, Any] | None = None
) -> Propagation:
    """Return a propagation that publishes events of its writes; ``options`` are those of its statements."""
    propagation = Propagation(session, statements, memory, options)
    propagation.mutations = Mutations(propagation)
    return propagation
