"""Conditions over records: compiled to SQL, and checked.

In come ``where=`` and matches in any of their forms, out come SQL expressions, or faults that name the part that is
wrong. Read :mod:`.match` first.
"""
