"""One write: old and new images of its rows, and the deltas computed from their difference.

The input is a set of rows that are about to be written; the output is pending deltas of hosts and mutation events.
:mod:`.propagation` holds the deltas, :mod:`.write_bracket` surrounds a write, :mod:`.written_rows` compares rows before
and after it and publishes the differences, :mod:`.rows_of_foreign_key_actions` finds rows that foreign keys change
with them. Read :mod:`.propagation` first.
"""
