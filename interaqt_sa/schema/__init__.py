"""Definitions become tables, mapped classes and what ``storage.schema`` shows."""
