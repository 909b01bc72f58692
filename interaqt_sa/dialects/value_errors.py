"""Errors of drivers and databases about values: what no check by type can know beforehand."""

from __future__ import annotations

from sqlalchemy.exc import DataError, DBAPIError, StatementError

from .database_errors import normalize_database_error

#: what conversions raise in Python
_OF_PYTHON = (TypeError, ValueError, ArithmeticError, AttributeError, LookupError)
#: SQLSTATEs: a data exception, a type that does not match, an operator that there is not for a type
_OF_VALUES = ("22", "42804", "42883", "42846")
#: SQLite, and asyncpg, know no codes for it
_SAID = ("binding parameter", "invalid input for query argument", "datatype mismatch", "integer overflow")


def value_error(error: BaseException) -> BaseException | None:
    """Return what says in ``error`` that a value cannot be stored or compared, ``None`` if it is of another kind."""
    if not isinstance(error, StatementError):
        return error if isinstance(error, OverflowError) else None  # sqlite3, of an integer of more than 64 bits
    origin = error.orig
    if isinstance(error, DBAPIError):
        found = normalize_database_error(error)
        is_code = found is not None and found.code.startswith(_OF_VALUES)
        is_meant = isinstance(error, DataError) or is_code or any(said in str(origin) for said in _SAID)
        return (origin or error) if is_meant else None
    return origin if isinstance(origin, _OF_PYTHON) else None
