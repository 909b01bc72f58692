"""The statements of the engine: built once for a plan and a database, of constant text. No I/O.

In come nodes of a plan, out go SQLAlchemy statements whose parameters are sets of rows. :mod:`.statement_cache` keeps
them and has those about rows that contribute; :mod:`.aggregate_updates` has the UPDATEs of hosts, also of several
levels at once. Read :mod:`.statement_cache` first.
"""
