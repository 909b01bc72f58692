"""Lock rows in one order, so that transactions do not deadlock.

The input is a set of rows that will be written; these rows, and all that their contributions read, are locked from the
bottom up in one pass. :mod:`.lock_graph` derives from the plan which locks require which others, :mod:`.trees` detects
cycles in trees of rows. Read :mod:`.lock_pass` first; the protocol is described in docs/locking-protocol.md.
"""
