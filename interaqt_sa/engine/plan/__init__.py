"""Declarations, compiled: which rows contribute where, and in which order rows are locked."""

from .build import plan_if_ready, plan_of
from .model import ComputedValue, Edge, Hop, Host, Key, Part, Source
from .nodes import Derivation, Machine, Reaction
from .plan import Plan
from .watch import RowReference, Watch, references_of, watch_of

__all__ = [
    "ComputedValue",
    "Derivation",
    "Edge",
    "Hop",
    "Host",
    "Key",
    "Machine",
    "Part",
    "Plan",
    "Reaction",
    "RowReference",
    "Source",
    "Watch",
    "plan_if_ready",
    "plan_of",
    "references_of",
    "watch_of",
]
