"""Count the statements that an engine sends."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from psycopg import Cursor
from sqlalchemy import Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

# Beginning and ending a transaction is not what a pinned count is about. Savepoints are: each costs a round trip.
_TRANSACTION_CONTROL = ("BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK;", "END")


@contextmanager
def count_statements(engine: Engine | AsyncEngine) -> Generator[list[str]]:
    """Collect the text of every statement sent inside the block, in order.

    ::

        with count_statements(engine) as statements:
            session.flush()
        assert len(statements) == 2, statements

    An `executemany` counts once.
    """
    target = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    statements: list[str] = []

    def collect(
        connection: Connection, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if not _controls_transaction(statement):
            statements.append(statement)

    event.listen(target, "before_cursor_execute", collect)
    try:
        yield statements
    finally:
        event.remove(target, "before_cursor_execute", collect)


@contextmanager
def count_at_the_driver(engine: Engine) -> Generator[list[str]]:
    """Collect the same where psycopg gets it: the engine does not know that somebody listens."""
    statements: list[str] = []

    class Counting(Cursor[Any]):
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            statements.append(query)
            return super().execute(query, *args, **kwargs)

    def connected(connection: Any, _: Any) -> None:
        connection.cursor_factory = Counting

    engine.dispose()
    event.listen(engine, "connect", connected)
    try:
        yield statements
    finally:
        event.remove(engine, "connect", connected)
        engine.dispose()


def _controls_transaction(statement: str) -> bool:
    text = statement.strip().upper()
    return text == "ROLLBACK" or text.startswith(_TRANSACTION_CONTROL)
