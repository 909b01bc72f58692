"""Lock rows in one order, so that transactions do not deadlock.

In come rows that will be written, out come these rows, and all that their contributions read, locked from the bottom up
in one pass. :mod:`.lock_graph` says from the plan alone what leads where, :mod:`.trees` keeps trees free of
cycles. Read :mod:`.lock_pass` first; the protocol is in docs/locking-protocol.md.
"""
