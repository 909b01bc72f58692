"""Declarations, compiled: which rows contribute where, and in which order rows are locked."""

from .model import ComputedValue, Edge, Hop, Host, Part, Source
from .plan import Plan
from .watch import RowReference, Watch

__all__ = ["ComputedValue", "Edge", "Hop", "Host", "Part", "Plan", "RowReference", "Source", "Watch"]
