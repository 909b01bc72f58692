"""Turn the events of SQLAlchemy sessions and engines into writes.

In come the events of SQLAlchemy: flushes, DML statements, statements on connections, savepoints. Out go writes that the
rest of the engine follows, refusals of those that cannot be followed, and warnings of those by sessions that are not
attached. :mod:`.session_listeners` receives the events; :mod:`.flush`, :mod:`.orm_dml` and :mod:`.upsert` are the three
ways to write, :mod:`.core_statement_guard` guards the rest. Read :mod:`.session_listeners` first.
"""
