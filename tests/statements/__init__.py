"""Statements through the session: other names of a table, columns by expression, upserts, results."""
