"""What is declared, compiled: which rows contribute where, and in which order rows are locked. No session, no I/O.

In comes a MetaData with its mapped classes, out goes a :class:`.Plan`: sources, edges and hosts
(:mod:`.contributions`), what events set off (:mod:`.event_nodes`), what to look for in changed objects
(:mod:`.mapper_watch`), and the lock order. :mod:`.planner` makes it, with every fault at once. Read
:mod:`.contributions` first.
"""

from .contributions import ComputedValue, Edge, Hop, Host, Key, Part, Source
from .event_nodes import Derivation, Machine, Reaction
from .mapper_watch import RowReference, Watch, references_of, watch_of
from .plan import Plan
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
