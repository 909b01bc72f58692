"""Turn the events of SQLAlchemy sessions and engines into writes.

The input is the events of SQLAlchemy: flushes, DML statements, statements on connections, savepoints. The output is
writes that the rest of the engine follows, refusals of writes that it cannot follow, and warnings about writes of
sessions that are not attached. :mod:`.session_listeners` receives the events; :mod:`.flush`, :mod:`.orm_dml` and
:mod:`.upsert` handle the three kinds of writes, :mod:`.core_statement_guard` checks all other statements. Read
:mod:`.session_listeners` first.
"""
