"""Errors of drivers and databases about values, which checks by type cannot foresee."""

from __future__ import annotations

from sqlalchemy.exc import DataError, DBAPIError, StatementError

from .database_errors import normalize_database_error

#: errors raised by conversions in Python
_OF_PYTHON = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError)
#: SQLSTATEs: data exceptions, datatype mismatch, undefined function or operator, impossible cast
_OF_VALUES = ("22", "42804", "42883", "42846")
#: messages of SQLite and asyncpg, which have no codes for these errors
_SAID = ("binding parameter", "invalid input for query argument", "datatype mismatch", "integer overflow")


def value_error(error: BaseException) -> BaseException | None:
    """Return the error in ``error`` about a value that cannot be stored or compared, ``None`` if there is none."""
    if not isinstance(error, StatementError):
        return error if isinstance(error, OverflowError) else None  # sqlite3, for integers of more than 64 bits
    origin = error.orig
    if isinstance(error, DBAPIError):
        found = normalize_database_error(error)
        is_code = found is not None and found.code.startswith(_OF_VALUES)
        is_meant = isinstance(error, DataError) or is_code or any(said in str(origin) for said in _SAID)
        return (origin or error) if is_meant else None
    return origin if isinstance(origin, _OF_PYTHON) else None
