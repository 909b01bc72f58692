"""Steps of compiling definitions into tables and mapped classes.

Entities, relations and dictionaries become tables on the application's MetaData and classes on its registry.
:mod:`.tables` plans the columns of one record, :mod:`.relations` adds the keys and tables of relations, :mod:`.mapping`
maps the classes. Read :mod:`.tables` first; :mod:`..compile_schema` runs the steps.
"""
