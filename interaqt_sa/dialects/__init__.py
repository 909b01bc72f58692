"""What databases differ in, as operations with names; adding a database is one file here.

In comes a SQLAlchemy dialect, out goes the :class:`.DatabaseDialect` of the same *name*: how rows are locked, how a set
of rows becomes a parameter, how numbers are added exactly, what values are stored, how transactions begin. A database
that is not listed here is refused, also one whose SQLAlchemy dialect is a subclass of one that is.

Read :mod:`.base` first, which says what a database has to answer; then :mod:`.postgresql` and :mod:`.sqlite`.
:mod:`.functions` has the SQL functions that are spelled differently.
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
    """Whether the database of ``dialect`` is one of those that are listed here."""
    return dialect.name in _DIALECTS


def dialect_class(dialect: Dialect) -> type[DatabaseDialect]:
    """Return what is known of a database, without the state of a connection.

    :raises TransactionCapabilityError: if the database is not known, with the names of those that are.
    """
    found = _DIALECTS.get(dialect.name)
    if found is None:
        raise TransactionCapabilityError(
            f"the database {dialect.name!r} is not supported; computed values are kept on {', '.join(_DIALECTS)}",
            dialect=dialect.name,
        )
    return found


def dialect_for(dialect: Dialect) -> DatabaseDialect:
    """Return the capabilities of the database of ``dialect``.

    :raises TransactionCapabilityError: if the database is not known, with the names of those that are.
    """
    return dialect_class(dialect)(dialect)
