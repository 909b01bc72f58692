"""Definitions to tables and mapped classes.

In come entities, relations and dictionaries, out come tables on the application's MetaData and classes on its registry.
:mod:`.tables` plans the columns of one record, :mod:`.relations` adds what relations need, :mod:`.mapping` makes the
classes. Read :mod:`.tables` first; :mod:`..compile_schema` puts the steps together.
"""
