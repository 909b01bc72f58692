"""What can be wrong with a declaration, found before any SQL.

In come definitions, mapped classes and outlines of those that are not mapped yet, out come faults, one for each wrong
part. Read :mod:`.computation_checks` first.
"""
