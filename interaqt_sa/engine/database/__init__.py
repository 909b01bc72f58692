"""Run the engine's statements for one session at one database, and read stored rows.

In come statements and keys, out go rows. :class:`.Database` is what everything above is given; :mod:`.reader` reads
along the paths of a plan, :mod:`.polymorphic_rows` whole rows by their class, :mod:`.same_row_functions` computes
values of the same row, :mod:`.loaded_objects` puts new values into the objects of the session. Read :mod:`.database`
first.
"""
