"""Interactions: event sources with a user, conditions and a payload."""

from __future__ import annotations

from .conditions import BoolExp, Condition, Conditions
from .interaction import Action, Interaction, InteractionEventEntity
from .payload import Payload, PayloadItem

__all__ = [
    "Action",
    "BoolExp",
    "Condition",
    "Conditions",
    "Interaction",
    "InteractionEventEntity",
    "Payload",
    "PayloadItem",
]
