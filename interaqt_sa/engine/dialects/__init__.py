"""What databases can do, and how a set of rows becomes a parameter there."""

from sqlalchemy import Dialect

from ...errors import TransactionCapabilityError
from .base import EngineDialect, Lock
from .postgresql import PostgreSQLDialect
from .sqlite import SQLiteDialect

__all__ = ["EngineDialect", "Lock", "dialect_for"]

_DIALECTS: tuple[type[EngineDialect], ...] = (PostgreSQLDialect, SQLiteDialect)


def dialect_for(dialect: Dialect) -> EngineDialect:
    """Return the capabilities of a SQLAlchemy dialect.

    :raises TransactionCapabilityError: if the engine does not know the database.
    """
    for candidate in _DIALECTS:
        if candidate.serves(dialect):
            return candidate(dialect)
    raise TransactionCapabilityError(
        f"computed values are kept on PostgreSQL and SQLite; the dialect {dialect.name!r} is not supported",
        dialect=dialect.name,
    )
