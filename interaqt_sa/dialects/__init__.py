"""Differences between databases, as named operations; one file for each database.

:func:`dialect_for` returns the :class:`.DatabaseDialect` with the name of a SQLAlchemy dialect. It defines how rows are
locked, how a set of rows is passed as a parameter, how numbers are added exactly, which values can be stored, and how
transactions begin. Databases that are not listed here are refused, also those whose SQLAlchemy dialect is a subclass of
a listed one.

Read :mod:`.base` first, the interface of all databases; then :mod:`.postgresql` and :mod:`.sqlite`. :mod:`.functions`
has the SQL functions whose text differs.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Dialect

from ..errors import TransactionCapabilityError
from .base import DatabaseDialect, Lock
from .postgresql import PostgreSQLDialect
from .sqlite import SQLiteDialect

__all__ = ["DatabaseDialect", "Lock", "dialect_class", "dialect_for", "knows"]

_DIALECTS: Mapping[str, type[DatabaseDialect]] = {cls.name: cls for cls in (PostgreSQLDialect, SQLiteDialect)}


def knows(dialect: Dialect) -> bool:
    """Whether the database of ``dialect`` is supported."""
    return dialect.name in _DIALECTS


def dialect_class(dialect: Dialect) -> type[DatabaseDialect]:
    """Return the class for the database of ``dialect``, whose class methods need no instance.

    :raises TransactionCapabilityError: if the database is not supported, with the names of those that are.
    """
    found = _DIALECTS.get(dialect.name)
    if found is None:
        raise TransactionCapabilityError(
            f"the database {dialect.name!r} is not supported; computed values are kept on {', '.join(_DIALECTS)}",
            dialect=dialect.name,
        )
    return found


def dialect_for(dialect: Dialect) -> DatabaseDialect:
    """Return the operations of the database of ``dialect``.

    :raises TransactionCapabilityError: if the database is not supported, with the names of those that are.
    """
    return dialect_class(dialect)(dialect)
