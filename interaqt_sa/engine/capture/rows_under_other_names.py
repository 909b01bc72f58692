"""Find the watched tables whose rows are written under another name: partitions, inherited tables, views, rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, TableClause

from ...dialects import dialect_for
from ...dialects.execution_options import ENGINE_OPTIONS
from ...errors import UnmanagedWriteError
from ..plan import Plan
from .table_identity import FindNames, TableNames


def refuse_other_names(
    connection: Connection,
    element: Any,
    options: Mapping[str, Any],
    plan: Plan,
    names: FindNames,
    refuse: Callable[[UnmanagedWriteError], None],
) -> None:
    """Refuse a statement that writes rows of a watched table under another name.

    :param element: an INSERT, UPDATE or DELETE of a table that is not watched itself.
    :param refuse: raises an error, warns or does nothing, according to the configuration of the system.
    """
    for table in tables_behind(connection, element, options, plan, names):
        refuse(_write_through(str(element.table), table, str(element.__visit_name__)))


def tables_behind(
    connection: Connection, element: Any, options: Mapping[str, Any], plan: Plan, names: FindNames
) -> Sequence[Table]:
    """Return the watched tables whose rows are stored in, or shown by, the table that a statement writes."""
    target = getattr(element, "table", None)
    if not isinstance(target, TableClause) or target in plan.sources or ENGINE_OPTIONS.keys() <= options.keys():
        return ()
    schemas = {**connection.get_execution_options(), **options}.get("schema_translate_map")
    known = TableNames(connection.dialect, schemas)
    found = behind_name(connection, known.of(target), plan, known)
    return found if found and names(target) is not None else ()


def behind_name(connection: Connection, name: tuple[str, str], plan: Plan, names: TableNames) -> Sequence[Table]:
    """Return the watched tables behind the schema and name of a table, as :class:`.TableNames` returns them.

    The database is queried once for each name.
    """
    known = plan.behind.setdefault(connection.dialect, {})
    if name not in known:
        known[name] = dialect_for(connection.dialect).tables_behind(connection, *name)
    wanted = {names.spelled(schema, table) for schema, table in known[name]}
    return [table for table in plan.sources if names.of(table) in wanted] if wanted else ()


def other_name(verb: str, name: str) -> str:
    """Return the description, for messages, of a write to the table ``name`` instead of the watched one."""
    return f"{verb} through {name!r}"


def _write_through(name: str, table: Table, verb: str) -> UnmanagedWriteError:
    return UnmanagedWriteError(
        f"this {verb} on {name!r} writes rows of {table.fullname!r}, so that computed values would not be updated; "
        f"write to {table.fullname!r}, or set System(unmanaged_dml='allow') and run system.repair() afterwards",
        table=table.fullname,
    )
