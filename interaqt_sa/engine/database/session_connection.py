"""The connection that the engine uses for a session, and the capabilities of its transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Mapper, Session

from ...dialects import dialect_class
from ...errors import TransactionCapabilityError
from ...session.isolation import isolation_of
from ...session.state import SessionState
from ..plan import Plan, Source

_SNAPSHOT = frozenset({"REPEATABLE READ", "SERIALIZABLE", "SNAPSHOT"})


def bind_of(session: Session, plan: Plan) -> Engine | Connection:
    """Return the bind of ``session`` for the tables that ``plan`` watches.

    :raises UnboundExecutionError: if it has no bind for any of them.
    """
    if (given := SessionState.of(session).bind) is not None:
        return given
    source = plan.bound
    if source is None:
        return session.get_bind()
    try:
        return _bind_of_source(session, source)
    except UnboundExecutionError:
        for other in (other for other in plan.sources.values() if other.mapper is not None):
            with suppress(UnboundExecutionError):
                return _bind_of_source(session, other)  # all of them are in one database
        raise


def _bind_of_source(session: Session, source: Source) -> Engine | Connection:
    # the clause marks a write, which some sessions route to another engine
    return session.get_bind(mapper=source.mapper, clause=source.write)


def is_kept_with(session: Session, plan: Plan, mapper: Mapper[Any]) -> bool:
    """Whether ``session`` writes rows of a class to the database of the tables that ``plan`` watches."""
    try:
        return session.get_bind(mapper=mapper).engine is bind_of(session, plan).engine
    except UnboundExecutionError:
        return True


def connection_of(session: Session, state: SessionState, source: Source, plan: Plan) -> Connection:
    """Return the connection on which ``source`` is written.

    :raises TransactionCapabilityError: if it is in AUTOCOMMIT, where locks end with their statement.
    """
    # the engine locks the rows that it reads: sessions that route reads elsewhere must treat them as writes
    bind_arguments: dict[str, Any] = {"clause": source.write}
    if source.mapper is not None:
        bind_arguments["mapper"] = source.mapper
    if state.bind is not None:
        bind_arguments["bind"] = state.bind
    transaction = state.transaction
    try:
        bind = session.get_bind(**bind_arguments)
    except UnboundExecutionError:
        bind = bind_arguments["bind"] = bind_of(session, plan)
    # asking a session for its connection begins its savepoint
    within = session.get_nested_transaction() or session.get_transaction()
    if transaction.connection is not None and transaction.asked == (bind, within) and session.is_active:
        return transaction.connection
    connection = session.connection(bind_arguments=bind_arguments)
    transaction.asked = (bind, session.get_nested_transaction() or session.get_transaction())
    if transaction.connection is connection:
        return connection
    if transaction.connection is not None and transaction.connection.engine is not connection.engine:
        raise TransactionCapabilityError(
            f"computed values of table {source.table.name!r} would span two engines in one session; "
            "bind all records that compute from each other to one engine"
        )
    _refuse_autocommit(connection)
    transaction.connection = connection
    return connection


def require_latest_rows(connection: Connection, why: str, *, all_serializable: bool) -> None:
    """Check that a search for members does not run in a snapshot, where rows committed since are missing.

    :param all_serializable: whether all writers of the system are, so that the database detects the conflict.
    :raises TransactionCapabilityError: if the transaction is not READ COMMITTED.
    """
    if not dialect_class(connection.dialect).has_isolation_levels:
        return
    level = isolation_of(connection)
    if level in _SNAPSHOT and not (level == "SERIALIZABLE" and all_serializable):
        raise TransactionCapabilityError(
            f"{why}, which needs all rows committed so far; this transaction is {level} and sees an older snapshot. "
            'Use READ COMMITTED, or make all writers serializable by System(isolation="SERIALIZABLE")',
            isolation=level,
        )


def _refuse_autocommit(connection: Connection) -> None:
    if isolation_of(connection) == "AUTOCOMMIT" or dialect_class(connection.dialect).commits_by_itself(connection):
        raise TransactionCapabilityError(
            "the session's connection is in AUTOCOMMIT, where locks end with their statement; "
            "use a transactional isolation level for sessions that write managed tables",
            isolation="AUTOCOMMIT",
        )
