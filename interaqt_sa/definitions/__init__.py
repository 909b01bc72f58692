"""Immutable definitions of records and computations; no session, no I/O."""
