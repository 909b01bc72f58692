"""Execute cached statements with the driver's cursor.

For statements as short as the engine's, SQLAlchemy's own execution takes more time than the driver's. So the work is
done here once for each statement: compile it, and determine the conversions of parameters and columns. The cursor
belongs to SQLAlchemy's connection, inside its transaction, and errors are SQLAlchemy's.

On an observed connection everything is executed by SQLAlchemy, so that logs, traces and tests see each statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Executable

from ..dialects.execution_options import STATEMENT_OPTION
from .compiled_statement import CachedText, DriverRow


def is_observed(connection: Connection, options: Mapping[str, Any]) -> bool:
    """Whether SQLAlchemy must run the engine's statements: on an observed connection, or if their text changes."""
    heard: Any = connection.dispatch
    return bool(
        connection._echo  # pyright: ignore[reportPrivateUsage]
        or any(map(is_of_others, heard.before_cursor_execute))
        or any(map(is_of_others, heard.after_cursor_execute))
        or heard.after_execute
        or any(map(is_of_others, heard.before_execute))
        or "schema_translate_map" in connection.get_execution_options()
        or "schema_translate_map" in options
        or _changes_execution(connection.dialect)
    )


def is_of_others(listener: Any) -> bool:
    """Whether a listener does not belong to the engine, whose own listeners are methods without a wrapper."""
    return not type(getattr(listener, "__self__", None)).__module__.startswith("interaqt_sa.")


def _changes_execution(dialect: Any) -> bool:
    return bool(dialect._has_events and (dialect.dispatch.do_execute or dialect.dispatch.do_execute_no_params))


def run_cached(connection: Connection, cached: CachedText, given: Mapping[str, Any]) -> Sequence[DriverRow]:
    """Run a cached statement in the transaction of ``connection``.

    :raises StatementError: as :meth:`sqlalchemy.Connection.execute` does.
    """
    return _run(connection, cached, given, cached.fetch)


def run_unconverted(connection: Connection, cached: CachedText, given: Mapping[str, Any]) -> Sequence[DriverRow]:
    """Run a cached statement as :func:`run_cached`; return its rows with the values of the driver."""
    return _run(connection, cached, given, cached.fetch_unconverted)


def _run(
    connection: Connection,
    cached: CachedText,
    given: Mapping[str, Any],
    fetch: Callable[[Any, Dialect], Sequence[DriverRow]],
) -> Sequence[DriverRow]:
    dialect, raw = connection.dialect, connection.connection
    execution: Any = dialect.execution_ctx_cls
    context = cursor = parameters = None
    try:
        parameters = cached.parameters(given)
        # dialects use it for the handling of errors and of schema changes, as asyncpg's does
        context = execution._init_statement(dialect, connection, raw, {}, cached.text, [parameters])
        context.pre_exec()
        cursor = context.cursor
        dialect.do_execute(cursor, cached.text, parameters, context)
        rows = fetch(cursor, dialect)
        cursor.close()
    except BaseException as error:
        connection._handle_dbapi_exception(  # pyright: ignore[reportPrivateUsage]
            error, cached.text, parameters, cursor, context
        )
        raise
    return rows


def run_statement(
    connection: Connection, statement: Executable, given: Mapping[str, Any], options: Mapping[str, Any]
) -> Sequence[Any]:
    """Run a statement of the engine through SQLAlchemy."""
    own = {**options, STATEMENT_OPTION: statement}
    return connection.execute(statement, given, execution_options=own).all()


def shared_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the execution options of a statement that also apply to the engine's statements for it.

    Options for fetching or synchronizing its own rows, and private options of SQLAlchemy, are omitted.
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
