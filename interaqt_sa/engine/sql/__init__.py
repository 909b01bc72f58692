"""The statements of the engine: built once for a plan and a dialect, with constant text. No I/O.

The input is nodes of a plan, the output is SQLAlchemy statements whose parameters are sets of rows.
:mod:`.statement_cache` caches them and builds those on contributing rows; :mod:`.aggregate_updates` builds the UPDATEs
of hosts, also of several levels at once. Read :mod:`.statement_cache` first.
"""
