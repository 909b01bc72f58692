"""Execute the engine's statements on the connection of one session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Executable, Table
from sqlalchemy.orm import Session

from ...dialects.execution_options import ENGINE_OPTIONS
from ...errors import RequireSerializableRetry
from ...session import cursor_execution as execution
from ...session.isolation import SERIALIZABLE, isolation_of
from ...session.state import SessionState
from ..plan import Source
from ..sql.statement_cache import Statements
from .loaded_objects import Memory
from .session_connection import connection_of, require_latest_rows


class Database:
    """Runs the engine's statements for one write of one session.

    :param options: execution options of the application's statement, if the write is a statement.
    :ivar state: the package's state of the session.
    :ivar memory: the loaded objects of the session.
    """

    def __init__(
        self, session: Session, statements: Statements, memory: Memory, options: Mapping[str, Any] | None = None
    ) -> None:
        self.session = session
        self.state = SessionState.of(session)
        self.options: Mapping[str, Any] = {**(options or {}), **ENGINE_OPTIONS}
        self.statements = statements
        self.dialect = statements.dialect
        self.memory = memory
        # cached, because the session looks up the connection on each call, and a write stays on one connection
        self._connections: dict[Source, Connection] = {}
        self._observed: dict[Connection, bool] = {}

    def execute(self, source: Source, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Any]:
        """Run one of the engine's statements."""
        connection = self.connection(source)
        cached = None if self.is_observed(connection) else self.statements.text_of(statement, connection.dialect)
        if cached is None:
            return execution.run_statement(connection, statement, parameters, self.options)
        return list(map(tuple, execution.run_cached(connection, cached, parameters)))

    def is_observed(self, connection: Connection) -> bool:
        """Whether a listener receives the statements of ``connection``."""
        found = self._observed.get(connection)
        if found is None:
            found = self._observed[connection] = execution.is_observed(connection, self.options)
        return found

    def connection(self, source: Source) -> Connection:
        found = self._connections.get(source)
        if found is None:
            found = connection_of(self.session, self.state, source, self.statements.plan)
            if found not in self._connections.values():
                self.dialect.prepare(found)
            self._connections[source] = found
        return found

    def require_latest_rows(self, source: Source, why: str, tables: Iterable[Table] = ()) -> None:
        """Check that a search for rows finds all committed ones; see :func:`.require_latest_rows`.

        :param tables: the tables that it joins, besides those of ``source``.
        :raises RequireSerializableRetry: if the transaction is repeated, and then locks the tables first.
        """
        connection = self.connection(source)
        if self.state.is_repeated and isolation_of(connection) == SERIALIZABLE:
            searched = {*self.statements.plan.tables_of_row(source.table), *tables}
            if searched <= self.state.locked_tables:
                return
            if not self.statements.all_serializable and self.dialect.has_row_locks:
                raise RequireSerializableRetry(f"{why}, so that these tables have to be locked first", tables=searched)
        require_latest_rows(connection, why, all_serializable=self.statements.all_serializable)

    def require_serializable(self, source: Source, why: str, tables: Iterable[Table]) -> None:
        """Check that a transaction that can be repeated is SERIALIZABLE, and has locked ``tables``.

        :raises RequireSerializableRetry: if it is not.
        """
        connection, needed = self.connection(source), frozenset(tables)
        is_weak = isolation_of(connection) != SERIALIZABLE or not needed <= self.state.locked_tables
        if self.state.is_repeated and is_weak and self.dialect.has_row_locks and not self.statements.all_serializable:
            raise RequireSerializableRetry(f"{why} requires SERIALIZABLE", tables=needed)
