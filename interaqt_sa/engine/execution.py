"""Kept statements run by the driver's cursor.

SQLAlchemy's own execution costs more time than the driver's for statements as short as the engine's. What it does for
them is done here once for each statement: compile it, and find out how parameters and columns are converted. The
cursor is one of SQLAlchemy's connection, inside its transaction, and errors are SQLAlchemy's.

Where somebody listens, everything goes through SQLAlchemy, so that logs, traces and tests see each statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.engine.interfaces import BindTyping
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

from ..dialects.execution_options import STATEMENT_OPTION

Row = tuple[Any, ...]
#: converts one value, between Python and the driver
Convert = Callable[[Any], Any]


class KeptText:
    """A kept statement as one driver takes it.

    :ivar text: with the driver's parameters.
    """

    def __init__(self, compiled: SQLCompiler, types: Sequence[TypeEngine[Any]]) -> None:
        dialect = compiled.dialect
        self.text = str(compiled)
        self._sequence = dialect.execute_sequence_format if compiled.positional else None
        self._names: Sequence[str] = (compiled.positiontup if compiled.positional else list(compiled.binds)) or ()
        self._escaped = compiled.escaped_bind_names
        self._constants: dict[str, Any] = {}
        self._given: list[tuple[str, Convert | None]] = []
        for name in dict.fromkeys(self._names):
            bind = compiled.binds[name]
            convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
            if bind.required:
                self._given.append((name, convert))
            else:
                self._constants[name] = convert(bind.effective_value) if convert else bind.effective_value
        self._types = [type_.dialect_impl(dialect) for type_ in types]
        self._columns: list[tuple[int, Convert]] | None = None

    @classmethod
    def of(cls, statement: Any, dialect: Dialect) -> KeptText | None:
        """Return the text of ``statement``; ``None`` if only SQLAlchemy itself can run it."""
        if dialect.bind_typing is BindTyping.SETINPUTSIZES:
            return None
        compiled = statement.compile(dialect=dialect)
        columns = getattr(statement, "exported_columns", None)
        if not isinstance(compiled, SQLCompiler) or columns is None:
            return None
        if compiled.post_compile_params or compiled.literal_execute_params:
            return None  # its text depends on its parameters
        if compiled.insert_prefetch or compiled.update_prefetch:
            return None  # columns have defaults that SQLAlchemy computes for each execution
        return cls(compiled, [column.type for column in columns])

    def parameters(self, given: Mapping[str, Any]) -> Any:
        """Return ``given`` as the driver takes it."""
        values = dict(self._constants)
        for name, convert in self._given:
            value = given[name]
            values[name] = value if convert is None else convert(value)
        if self._sequence is not None:
            return self._sequence([values[name] for name in self._names])
        return {self._escaped.get(name, name): value for name, value in values.items()} if self._escaped else values

    def fetch(self, cursor: Any, dialect: Dialect) -> list[Row]:
        """Return the rows of ``cursor`` as SQLAlchemy's types have them."""
        if self._columns is None:
            # what the driver makes of a column is known by its first answer
            found = zip(self._types, cursor.description, strict=True)
            converts = [type_.result_processor(dialect, column[1]) for type_, column in found]
            self._columns = [(i, convert) for i, convert in enumerate(converts) if convert is not None]
        rows: list[Any] = cursor.fetchall()
        if not self._columns:
            return [tuple(row) for row in rows]
        converted = []
        for row in rows:
            values = list(row)
            for i, convert in self._columns:
                values[i] = convert(values[i])
            converted.append(tuple(values))
        return converted


def is_observed(connection: Connection, options: Mapping[str, Any]) -> bool:
    """Whether SQLAlchemy must run the engine's statements itself: somebody listens, or the text is not constant."""
    heard: Any = connection.dispatch
    return bool(
        connection._echo
        or len(heard.before_cursor_execute) > 1  # one is the engine's own
        or len(heard.after_cursor_execute) > 1
        or heard.after_execute
        or len(heard.before_execute) > 1
        or "schema_translate_map" in connection.get_execution_options()
        or "schema_translate_map" in options
        or _changes_execution(connection.dialect)
    )


def _changes_execution(dialect: Any) -> bool:
    return bool(dialect._has_events and (dialect.dispatch.do_execute or dialect.dispatch.do_execute_no_params))


def run_kept(connection: Connection, kept: KeptText, given: Mapping[str, Any]) -> list[Row]:
    """Run a kept statement on the transaction of ``connection``.

    :raises StatementError: as :meth:`sqlalchemy.Connection.execute` does.
    """
    dialect, raw = connection.dialect, connection.connection
    execution: Any = dialect.execution_ctx_cls
    context = cursor = parameters = None
    try:
        parameters = kept.parameters(given)
        # dialects hang on it what they do about errors and about schemas that change, as asyncpg's does
        context = execution._init_statement(dialect, connection, raw, {}, kept.text, [parameters])
        context.pre_exec()
        cursor = context.cursor
        dialect.do_execute(cursor, kept.text, parameters, context)
        rows = kept.fetch(cursor, dialect)
        cursor.close()
    except BaseException as error:
        connection._handle_dbapi_exception(error, kept.text, parameters, cursor, context)
        raise
    return rows


def run_statement(
    connection: Connection, statement: Executable, given: Mapping[str, Any], options: Mapping[str, Any]
) -> Sequence[Any]:
    """Run a statement of the engine through SQLAlchemy."""
    own = {**options, STATEMENT_OPTION: statement}
    return connection.execute(statement, given, execution_options=own).all()


def shared_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the execution options of a statement that hold for what follows from it too.

    What says how its own rows are fetched or synchronised, or is SQLAlchemy's own, does not.
    """
    return {name: value for name, value in options.items() if name not in _OF_ONE_STATEMENT and name[0] != "_"}


_OF_ONE_STATEMENT = frozenset(
    {
        "autoflush",
        "compiled_cache",
        "dml_strategy",
        "identity_token",
        "insertmanyvalues_page_size",
        "interaqt_sa_managed",
        "interaqt_sa_statement",
        "is_delete_using",
        "is_update_from",
        "max_row_buffer",
        "populate_existing",
        "prebuffer_rows",
        "preserve_rowcount",
        "render_nulls",
        "stream_results",
        "synchronize_session",
        "yield_per",
    }
)
