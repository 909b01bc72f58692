"""Interactions: events of users, with conditions and a payload, that are stored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeGuard
from uuid import UUID

from ..definitions.event_source import EventSource, Hook
from ..definitions.records import Entity, Property
from ..definitions.short_repr import shorten
from ..definitions.type_aliases import RecordRef
from ..errors import DefinitionFault, InvalidValueError
from ..runtime.context import Context
from ..runtime.dispatch_arguments import is_array, is_mapping
from .conditions import BoolExp, Condition, Conditions, check_conditions, condition_expression
from .payload import Payload, check_payload

#: The record in which the events of all interactions are stored.
InteractionEventEntity = Entity(
    "_Interaction_",
    [
        Property("interaction_name", "string"),
        Property("interaction_id", "string"),
        Property("user", "object"),
        Property("payload", "object"),
        Property("query", "object"),
        Property("context", "object"),
    ],
    table_name="interaction_event",
)

_STORED = ("user", "payload", "query", "context")


@dataclass(frozen=True, slots=True)
class Action:
    """A label for an interaction.

    :param name: any text.

    ::

        Interaction("PayOrder", action=Action("pay"))
    """

    name: str


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Interaction(EventSource):
    """An event source for the actions of users.

    Its arguments are ``{"user": {…}, "payload": {…}}``, and optionally ``"query"`` and ``"context"``. Conditions are
    checked first, then the payload; if either fails, the dispatch is rejected with an :class:`.InteractionGuardError`.
    Events are stored as rows of :data:`InteractionEventEntity`; ``Trigger(interaction)`` matches those of this
    interaction.

    :param name: unique among the event sources of a controller.
    :param action: an :class:`Action`, a label.
    :param payload: the :class:`.Payload` to check; ``None``: any payload.
    :param conditions: a :class:`.Condition`, or several combined by ``&``, ``|`` and ``~``.
    :param data: reserved; must be ``None``.
    :param data_policy: reserved; must be ``None``.
    :param idempotency: reserved; must be ``None``.
    :param resolve: as for :class:`.EventSource`.
    :param after_dispatch: as for :class:`.EventSource`.
    :param post_commit: as for :class:`.EventSource`.
    :raises DefinitionFault: if the name is empty, ``conditions`` is not a condition, or a reserved argument is given.

    ::

        PayOrder = Interaction("PayOrder", conditions=Condition("is_owner", is_owner),
                               payload=Payload([PayloadItem("order", base="Order", is_ref=True, required=True)]))
    """

    action: Action | None
    payload: Payload | None
    conditions: BoolExp | None

    def __init__(
        self,
        name: str,
        *,
        action: Action | None = None,
        payload: Payload | None = None,
        conditions: Condition | Conditions | BoolExp | None = None,
        data: Any = None,
        data_policy: Any = None,
        idempotency: Any = None,
        resolve: Callable[[Any, Any], Any] | None = None,
        after_dispatch: Callable[[Any, Any, Any], Any] | None = None,
        post_commit: Callable[[Any, Any, Any, Any], Any] | None = None,
    ) -> None:
        if data is not None or data_policy is not None:
            raise DefinitionFault(f"interaction {name!r}: data= and data_policy= are reserved and cannot be given yet")
        super().__init__(
            name,
            InteractionEventEntity,
            guard=self._guard,
            map_event_data=self._event_data,
            resolve=resolve,
            after_dispatch=after_dispatch,
            post_commit=post_commit,
            idempotency=idempotency,
        )
        object.__setattr__(self, "action", action)
        object.__setattr__(self, "payload", payload)
        object.__setattr__(self, "conditions", condition_expression(conditions))

    def callbacks(self) -> Iterator[tuple[str, Hook]]:
        yield from super().callbacks()
        if self.conditions is not None:
            for condition in self.conditions.conditions():
                yield f"condition {condition.name!r}", condition.content

    def references(self) -> Iterator[tuple[str, RecordRef]]:
        yield from super().references()
        if self.payload is not None:
            for item in self.payload.items:
                if item.base is not None:
                    yield f"payload item {item.name!r}", item.base

    def arguments_outline(self) -> str:
        items = "…" if self.payload is None else ", ".join(f"{item.name!r}: …" for item in self.payload.items)
        return f"{{'user': {{…}}, 'payload': {{{items}}}}}"

    def trigger_pattern(self) -> Mapping[str, Any]:
        return {"interaction_name": self.name}

    def _guard(self, ctx: Context, args: Mapping[str, Any]) -> None:
        if self.conditions is not None:
            check_conditions(self.conditions, ctx, args)
        if self.payload is not None:
            check_payload(self.payload, ctx, args.get("payload", {}))

    def _event_data(self, ctx: Context, args: Mapping[str, Any]) -> dict[str, Any]:
        try:
            stored = {name: json_safe(args.get(name, {})) for name in _STORED}
        except RecursionError as error:
            raise InvalidValueError(
                f"{self.name}: its arguments are nested deeper than Python can follow here", code="INVALID_ARGUMENT"
            ) from error
        return {"interaction_name": self.name, "interaction_id": self.name, **stored}


def json_safe(value: Any) -> Any:
    """Return plain data converted for JSON.

    Dates become ISO 8601 text, timedeltas seconds, and Decimals, UUIDs, NaN and infinities text, so that no information
    is lost.

    :raises InvalidValueError: if it contains bytes, which have no form in JSON.
    """
    if isinstance(value, Enum):
        return json_safe(value.value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if is_mapping(value):
        return {str(json_safe(key)): json_safe(part) for key, part in value.items()}
    if is_array(value) or _is_set(value):
        return [json_safe(part) for part in value]
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (Decimal, UUID)):
        return str(value)
    raise InvalidValueError(
        f"{shorten(value)} cannot be stored in an event: JSON has no form for {type(value).__name__}; "
        "give text, such as base64",
        code="INVALID_ARGUMENT",
    )


def _is_set(value: object) -> TypeGuard[AbstractSet[Any]]:
    return isinstance(value, AbstractSet)
