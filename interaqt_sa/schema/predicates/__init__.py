"""Compile and check conditions over records.

They take ``where=`` and matches in any form, and return SQL expressions or raise faults that name the invalid part.
Read :mod:`.match` first.
"""
