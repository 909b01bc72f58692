"""One write: old and new images of rows, and the deltas that follow from the difference.

In come rows that are about to be written, out come pending changes of hosts and mutation events. :mod:`.propagation`
holds the changes, :mod:`.write_bracket` goes around a write, :mod:`.written_rows` compares rows before and after and
tells of the difference, :mod:`.foreign_key_actions` finds rows that foreign keys change along. Read :mod:`.propagation`
first.
"""
