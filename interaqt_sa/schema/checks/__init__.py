"""Checks of computations, made before any SQL.

They take definitions, mapped classes and outlines of records that are not mapped yet, and collect one fault for each
invalid part. Read :mod:`.computation_checks` first.
"""
