"""State machines, whose transfers are triggered by events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, String

from ..dialects.undecorated_types import stored_type
from ..errors import ComputationProtocolError, DefinitionFault
from .computation import Computation
from .events import MutationEvent, Trigger
from .references import References
from .state_names import state_in_column, state_text
from .validation import check_name, refuse_coroutine_function, require_function
from .value_column_checks import converts


@dataclass(frozen=True, slots=True)
class StateNode:
    """A state of a :class:`StateMachine`.

    :param name: letters, digits and underscores; also the stored value, unless ``compute_value`` is given.
    :param compute_value: ``compute_value(last_value, event)`` returns the value that is stored on entering the
        state; at creation ``last_value`` is ``None``.
    :raises DefinitionFault: if the name has other characters.
    :raises ComputationProtocolError: if ``compute_value`` is not a plain function.

    ::

        paid = StateNode("paid")
        counted = StateNode("counted", compute_value=lambda last_value, event: (last_value or 0) + 1)
    """

    name: str
    compute_value: Callable[[Any, MutationEvent], Any] | None = None

    def __init__(self, name: str, *, compute_value: Callable[[Any, MutationEvent], Any] | None = None) -> None:
        if compute_value is not None:
            require_function(compute_value, f"StateNode({name!r}).compute_value")
            refuse_coroutine_function(compute_value, f"StateNode({name!r}).compute_value")
        object.__setattr__(self, "name", check_name("StateNode", name))
        object.__setattr__(self, "compute_value", compute_value)


@dataclass(frozen=True, slots=True)
class StateTransfer:
    """A transition of a :class:`StateMachine` from one state to another.

    :param current: the :class:`StateNode` that is left.
    :param next: the :class:`StateNode` that is entered.
    :param trigger: the :class:`.Trigger`, or a mapping of its parameters, that matches the events.
    :param compute_target: ``compute_target(ctx, event)`` returns the rows to move: a mapping with the key
        (``{"id": 3}``), a bare key (a tuple, if it has several columns), a list of these, or ``None`` for none. It may
        do I/O. A transfer without it is reported when the machine is compiled.
    :raises ComputationProtocolError: if an argument is invalid.

    ::

        StateTransfer(current=pending, next=paid, trigger=Trigger(PayOrder),
                      compute_target=lambda ctx, event: event.record["payload"]["order"])
    """

    current: StateNode
    next: StateNode
    trigger: Trigger
    compute_target: Callable[[Any, MutationEvent], Any] | None = None

    def __init__(
        self,
        *,
        current: StateNode,
        next: StateNode,
        trigger: Trigger | Mapping[str, Any],
        compute_target: Callable[[Any, MutationEvent], Any] | None = None,
    ) -> None:
        object.__setattr__(self, "current", _node(current, "StateTransfer"))
        object.__setattr__(self, "next", _node(next, "StateTransfer"))
        object.__setattr__(self, "trigger", Trigger.of(trigger))
        if compute_target is not None:
            require_function(compute_target, "StateTransfer: compute_target")
        object.__setattr__(self, "compute_target", compute_target)


class StateMachine(Computation[Any]):
    """A value that is the current state of a state machine, and moves along its transfers when events occur.

    :param states: all :class:`StateNode` values, with unique names.
    :param transfers: the :class:`StateTransfer` values. Several may share a trigger; those from one state must then
        have the same next state.
    :param initial_state: the state of a new row.
    :raises ComputationProtocolError: if two states share a name, or a state is used that is not in ``states``.

    ::

        pending, paid = StateNode("pending"), StateNode("paid")
        status: Mapped[str] = computed(StateMachine(states=[pending, paid], initial_state=pending, transfers=[
            StateTransfer(current=pending, next=paid, trigger=Trigger(PayOrder),
                          compute_target=lambda ctx, event: event.record["payload"]["order"])]))
    """

    _fields = ("states", "transfers", "initial_state")
    may_be_given = True
    way_to_change = "it moves when the events of its transfers occur"

    def __init__(
        self, *, states: Iterable[StateNode], transfers: Iterable[StateTransfer], initial_state: StateNode
    ) -> None:
        self.states = tuple(_node(state, "StateMachine") for state in states)
        self.transfers = tuple(transfers)
        for transfer in self.transfers:
            if not isinstance(transfer, StateTransfer):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise ComputationProtocolError(f"StateMachine: {transfer!r} is not a StateTransfer")
        self.initial_state = _node(initial_state, "StateMachine")
        names = [node.name for node in self.states]
        if len(set(names)) != len(names):
            raise ComputationProtocolError(f"StateMachine: two states share a name: {sorted(names)}")
        for node in (initial_state, *(n for t in self.transfers for n in (t.current, t.next))):
            if node not in self.states:
                raise ComputationProtocolError(f"StateMachine: state {node.name!r} is not listed in states")

    @property
    def computes_values(self) -> bool:
        """Whether any node has ``compute_value``, so that the state needs a hidden column."""
        return any(node.compute_value is not None for node in self.states)

    def hidden_columns(self, column: Column[Any]) -> dict[str, Column[Any]]:
        if not self.computes_values:
            return {}
        return {"state": Column(String, nullable=False, server_default=self.initial_state.name)}

    @property
    def starts_constant(self) -> bool:
        return self.initial_state.compute_value is None

    def initial_value(self, column: Column[Any] | None = None) -> Any:
        if not self.starts_constant:
            return None
        name = self.initial_state.name
        return name if column is None or self.computes_values else state_in_column(name, column.type)

    def server_default(self, column: Column[Any]) -> Any:
        if not self.starts_constant:
            return None
        return state_text(self.initial_state.name, stored_type(column.type)) or self.initial_state.name

    @property
    def is_never_null(self) -> bool:
        return not self.computes_values

    def check_column(self, column: Column[Any]) -> None:
        if self.computes_values:
            return
        stored = stored_type(column.type)
        if not isinstance(stored, String) or converts(column.type):
            raise DefinitionFault(
                f"a StateMachine stores the names of its states: give a type of text or an Enum, not {column.type!r}"
            )
        texts = {node.name: state_text(node.name, stored) for node in self.states}
        missing = [name for name, text in texts.items() if text is None]
        if missing:
            raise DefinitionFault(f"{stored!r} has no values for the states {missing}")
        if len({*texts.values()}) < len(texts):
            raise DefinitionFault(f"states of the machine are the same value of {stored!r}: {texts}")
        longest = max(texts.values(), key=lambda text: len(text or ""))
        if stored.length is not None and len(longest or "") > stored.length:
            raise DefinitionFault(f"{stored!r} is too short for the state {longest!r}")

    def meaning(self) -> dict[str, Any]:
        # transfers determine the next states of rows, not the stored one
        return {
            "states": [[node.name, node.compute_value] for node in self.states],
            "initial": self.initial_state.name,
        }

    def references(self) -> References:
        return References(triggers=tuple(transfer.trigger for transfer in self.transfers))

    def faults(self) -> Iterator[str]:
        for transfer in self.transfers:
            if transfer.compute_target is None:
                yield (
                    f"the transfer {transfer.current.name} -> {transfer.next.name} does not say which rows "
                    "move; give compute_target"
                )


def _node(state: object, where: str) -> StateNode:
    if not isinstance(state, StateNode):
        raise ComputationProtocolError(
            f"{where}: {state!r} is not a StateNode; make each once, as in pending = StateNode('pending'), "
            "and use it in states, initial_state and transfers"
        )
    return state
