"""Row switches: new objects that replace deleted ones in the same flush.

The unit of work writes one UPDATE for both. The row keeps the values that the new object does not set, and these are
not in memory; its aggregates continue, and its state machines start again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm.attributes import instance_dict, instance_state

from ..computations.engine_row_writes import update_rows
from ..computations.initial_states import initial_value
from ..database.polymorphic_rows import read_attributes
from ..plan import Watch
from ..propagation.propagation import Propagation


class RowSwitches:
    """The row switches of one flush."""

    def __init__(self, propagation: Propagation) -> None:
        self._propagation = propagation
        self._session = propagation.db.session
        self._machines = propagation.db.statements.plan.machines
        self._instances: list[tuple[Any, Watch]] = []
        #: the initial states that state machines have assigned
        self.started: dict[Column[Any], list[Any]] = {}

    def before_flush(self, new: Iterable[tuple[Any, Watch]]) -> None:
        """Find new objects with the keys of deleted ones, and assign the initial states of their state machines."""
        if not self._session._deleted:  # the public attribute builds a new set each time
            return
        gone = {instance_state(instance).key for instance in self._session.deleted}
        for instance, watch in new:
            identity = watch.mapper.primary_key_from_instance(instance)
            if watch.source is None or watch.mapper.identity_key_from_primary_key(tuple(identity)) not in gone:
                continue
            self._instances.append((instance, watch))
            _leave_aggregates(instance, watch)
            for machine in self._machines:
                if watch.mapper.isa(machine.value.mapper):
                    state = initial_value(machine, dict(instance_dict(instance)))
                    setattr(instance, machine.value.attribute, state)
                    self.started.setdefault(machine.value.column, []).append(state)

    def after_flush(self) -> None:
        """Set the stored values on the objects."""
        propagation = self._propagation
        for instance, watch in self._instances:
            assert watch.source is not None
            key = tuple(watch.mapper.primary_key_from_instance(instance))
            for machine in self._machines:
                if watch.mapper.isa(machine.value.mapper) and machine.state is not machine.value.column:
                    start = {machine.state: machine.declaration.initial_state.name}
                    update_rows(propagation, machine.source, machine.value.mapper, {key: start})
            stored = read_attributes(propagation.db, watch.source, watch.mapper, [key]).get(key, {})
            loaded = instance_dict(instance)
            fresh = {name: value for name, value in stored.items() if name in watch.computed or name not in loaded}
            propagation.db.memory.refresh_attributes(watch.mapper, key, fresh)


def _leave_aggregates(instance: Any, watch: Watch) -> None:
    """Keep the aggregates of a row, even if the new object was given the initial values of a new row."""
    kept = {value.attribute for value in watch.computed.values()} - {value.attribute for value in watch.same_row}
    for name in kept - {machine.value.attribute for machine in watch.initial}:
        instance_dict(instance).pop(name, None)
        instance_state(instance).committed_state.pop(name, None)
