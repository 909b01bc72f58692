"""The compiled form of all declarations: which rows contribute to which, and the lock order. No session, no I/O.

The input is a MetaData with its mapped classes, the output is a :class:`.Plan`: sources, edges and hosts
(:mod:`.plan_nodes`), the nodes that events trigger (:mod:`.event_nodes`), the relevant attributes of changed objects
(:mod:`.changed_attributes`), and the lock order. :mod:`.planner` compiles it and reports all faults at once. Read
:mod:`.plan_nodes` first.
"""

from .changed_attributes import RowReference, Watch, references_of, watch_of
from .event_nodes import Derivation, Machine, Reaction
from .numberings import Numbering
from .plan import Plan
from .plan_nodes import ComputedValue, Edge, Hop, Host, Inputs, Key, Part, Source
from .planner import plan_if_ready, plan_of
from .recursive_edges import recursive_edges

__all__ = [
    "ComputedValue",
    "Derivation",
    "Edge",
    "Hop",
    "Host",
    "Inputs",
    "Key",
    "Machine",
    "Numbering",
    "Part",
    "Plan",
    "Reaction",
    "RowReference",
    "Source",
    "Watch",
    "plan_if_ready",
    "plan_of",
    "recursive_edges",
    "references_of",
    "watch_of",
]
