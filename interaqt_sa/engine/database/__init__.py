"""Run the engine's statements for one session on one database, and read stored rows.

The input is statements and keys, the output is rows. All rooms above use :class:`.Database`; :mod:`.reader` reads along
the paths of a plan, :mod:`.polymorphic_rows` reads whole rows by their class, :mod:`.same_row_functions` computes
same-row values, :mod:`.loaded_objects` sets new values on the objects of the session. Read :mod:`.database` first.
"""
