"""The order in which rows are locked, so that no two transactions wait for each other.

In come rows that will be written, out come these rows, and all that their contributions read, locked from the bottom up
in one pass. :mod:`.lock_dependencies` says from the plan alone what leads where, :mod:`.recursion` keeps trees free of
circles. Read :mod:`.lock_pass` first; the protocol is in docs/locking-protocol.md.
"""
