"""Definitions to tables and mapped classes.

In come entities, relations and dictionaries, out come tables on the application's MetaData and classes on its registry,
or all faults at once and nothing else. :mod:`.compile` is the way through; read it first.
"""
