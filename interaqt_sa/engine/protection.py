"""Writes that would make computed values untrue are refused before they happen."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm.attributes import instance_dict, instance_state

from ..definitions.state_machine import StateMachine
from ..errors import ComputedWriteError
from ..schema.computed import empty_value
from .plan import ComputedValue, Watch

_UNSET = object()


def refuse_computed_write(instance: object, watch: Watch, attributes: Iterable[str]) -> None:
    """Refuse an assignment to a computed attribute, unless it changes nothing.

    :raises ComputedWriteError: naming the attribute and its computation.
    """
    state, values = instance_state(instance), instance_dict(instance)
    for name in watch.computed.keys() & set(attributes):
        value = watch.computed[name]
        now = values.get(name, _UNSET)
        if now is _UNSET:
            continue
        before = state.committed_state.get(name, _UNSET) if state.key else empty_value(value.computation)
        if now is before or (type(now) is type(before) and now == before) or (state.key is None and now is None):
            continue
        raise computed_write(value)


def computed_write(value: ComputedValue) -> ComputedWriteError:
    """Return the error for a write to ``value``."""
    how = (
        "it moves when the events of its transfers occur"
        if isinstance(value.computation, StateMachine)
        else "change what it is computed from"
    )
    return ComputedWriteError(
        f"{value.name} is computed (by {type(value.computation).__name__}) and cannot be assigned; {how}",
        record=value.record,
        property=value.attribute,
    )
