"""Initial states of new rows, if a function computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...definitions.events import MutationEvent
from ...definitions.state_machine import StateNode
from ...definitions.state_names import state_in_column
from ...definitions.validation import refuse_awaitable
from ...errors import ComputationError, FrameworkError

if TYPE_CHECKING:
    from ..plan import Machine


def value_on_entering(machine: Machine, node: StateNode, last: Any, event: MutationEvent) -> Any:
    """Return the value that a row gets when its machine enters ``node``.

    :raises ComputationError: if ``compute_value`` fails; the original error is its cause.
    """
    value = machine.value
    if node.compute_value is None:
        return node.name if machine.declaration.computes_values else state_in_column(node.name, value.column.type)
    where = f"{value.name}: compute_value of {node.name!r}"
    try:
        return refuse_awaitable(node.compute_value(last, event), where)
    except FrameworkError:
        raise
    except Exception as error:
        raise ComputationError(f"{where} failed: {error}", record=value.record, property=value.attribute) from error


def initial_value(machine: Machine, row: dict[str, Any]) -> Any:
    """Return the value of a new row; ``compute_value`` receives a create event with the given attributes."""
    event = MutationEvent("create", machine.value.record, row)
    return value_on_entering(machine, machine.declaration.initial_state, None, event)
