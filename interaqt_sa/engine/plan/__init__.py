"""The compiled form of all declarations: which rows contribute where, and the lock order. No session, no I/O.

In comes a MetaData with its mapped classes, out goes a :class:`.Plan`: sources, edges and hosts
(:mod:`.plan_graph`), what events set off (:mod:`.event_nodes`), what to look for in changed objects
(:mod:`.changed_attributes`), and the lock order. :mod:`.planner` makes it, with every fault at once. Read
:mod:`.plan_graph` first.
"""

from .changed_attributes import RowReference, Watch, references_of, watch_of
from .event_nodes import Derivation, Machine, Reaction
from .plan import Plan
from .plan_graph import ComputedValue, Edge, Hop, Host, Key, Part, Source
from .planner import plan_if_ready, plan_of

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
