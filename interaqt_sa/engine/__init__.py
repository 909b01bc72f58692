"""Keeps derived data true: mutations become a plan, the plan becomes deltas, deltas become writes."""
