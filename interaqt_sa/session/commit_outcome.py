"""Commit a transaction, and detect a lost answer to COMMIT."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ..dialects.database_errors import error_chain, normalize_database_error
from ..errors import TransactionOutcomeUnknownError

#: SQLSTATEs after which a COMMIT may have been applied: 40003 is defined so, the others end the connection.
_NO_ANSWER = ("08", "40003", "57P01", "57P02", "57P03")


def commit(session: Session, name: str) -> None:
    """Commit the transaction of ``session``.

    :param name: name of the transaction, for the error.
    :raises TransactionOutcomeUnknownError: if the connection was lost, or a timeout expired, before the answer to
        COMMIT.
    """
    try:
        session.commit()
    except Exception as error:
        if not is_answer_lost(error):
            raise
        raise TransactionOutcomeUnknownError(
            f"{name}: the connection was lost before COMMIT was answered, so the transaction may be stored or not; "
            "it is not repeated. Look in the database for its rows before you repeat it"
        ) from error


def is_answer_lost(error: Exception) -> bool:
    """Whether ``error``, raised by a commit, leaves the outcome of the COMMIT unknown."""
    if isinstance(error, TransactionOutcomeUnknownError):
        return False  # of another transaction, which was committed inside this one
    for link in error_chain(error):
        if isinstance(link, DBAPIError):
            return _is_lost(link)
        if isinstance(link, OSError):
            return True  # of the socket, not wrapped by asynchronous drivers; timeouts are OSErrors too
    return False


def _is_lost(error: DBAPIError) -> bool:
    if error.statement is not None:
        return False  # a statement flushed before COMMIT: the database rolls it back
    found = normalize_database_error(error)
    if found is None:
        return error.connection_invalidated  # the connection was lost without an error code
    return found.code.startswith(_NO_ANSWER)
