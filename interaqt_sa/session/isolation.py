"""Current and required isolation levels of transactions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from ..dialects import dialect_class
from ..errors import RequireSerializableRetry

READ_COMMITTED: Final = "READ COMMITTED"
SERIALIZABLE: Final = "SERIALIZABLE"
#: weakest first; other levels count as the weakest
_LEVELS = (READ_COMMITTED, "REPEATABLE READ", "SERIALIZABLE")
_SAME = {"SNAPSHOT": "REPEATABLE READ"}


def isolation_of(connection: Connection) -> str:
    """Return the isolation level of the current transaction, without a query."""
    chosen = connection.get_execution_options().get("isolation_level")
    if chosen is None:
        chosen = getattr(connection.dialect, "_on_connect_isolation_level", None) or connection.default_isolation_level
    return str(chosen or "").replace("_", " ").upper()


def require_isolation(session: Session, isolation: str, name: str) -> None:
    """Require a minimum isolation level of the transaction of ``session``, which is set if it has not begun.

    :param isolation: the required level.
    :param name: the operation that requires it, for the error.
    :raises RequireSerializableRetry: if the transaction has begun at a weaker level.
    """
    if isolation == READ_COMMITTED or not dialect_class(session.get_bind().dialect).has_isolation_levels:
        return
    if not session.in_transaction():
        session.connection(execution_options={"isolation_level": isolation})
        return
    level = isolation_of(session.connection())
    if _strength(level) < _strength(isolation):
        raise RequireSerializableRetry(
            f"{name} needs {isolation}, and is called inside a transaction that is {level}. A dispatch and "
            "run_with_transaction_retry() begin again at SERIALIZABLE by themselves; elsewhere begin the outer "
            "transaction at the level that is needed"
        )


def _strength(level: str) -> int:
    level = _SAME.get(level, level)
    return _LEVELS.index(level) if level in _LEVELS else 0
