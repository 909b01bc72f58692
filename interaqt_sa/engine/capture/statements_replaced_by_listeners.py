"""Detect statements that listeners of the application have replaced before their execution.

A listener to ``before_execute`` may return another statement; the engine's own listener does not see it if it comes
earlier. The engine has prepared, locked and read rows for the original statement. So the executed one has to be
equivalent; hints, prefixes, comments and other values are allowed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import Delete, Insert

from ...dialects.execution_options import STATEMENT_OPTION
from ...errors import UnmanagedWriteError
from ..sql.unevaluated_where import Restriction
from .dml_statement import DMLStatement, conflict_clauses, dml_of

#: names of the functions by which SQLAlchemy wraps listeners that cannot replace their arguments
_ONLY_LISTENING = ("wrap_before_execute", "wrap_before_cursor_execute")
#: parts of a statement that do not change its effect
_HARMLESS = frozenset({"_prefixes", "_suffixes", "_hints", "_statement_hints", "_annotations", "_compile_state_funcs"})


def replaces_statements(connection: Connection) -> bool:
    """Whether a listener of the application may replace statements, or their parameters or text."""
    heard: Any = connection.dispatch
    if len(heard.before_execute) < 2 and len(heard.before_cursor_execute) < 2:
        return False  # only the engine's own
    return any(_may_replace(fn) for fn in (*heard.before_execute, *heard.before_cursor_execute))


def _may_replace(listener: Any) -> bool:
    owner = type(getattr(listener, "__self__", None))
    return getattr(listener, "__name__", "") not in _ONLY_LISTENING and not owner.__module__.startswith("interaqt_sa.")


#: a statement and its parameters
Seen: TypeAlias = tuple[Any, Sequence[Mapping[str, Any]]]


class SeenStatements:
    """The statements of one connection that were handled but not executed yet."""

    def __init__(self) -> None:
        # a statement that fails before its execution is never taken
        self._seen: deque[Seen] = deque(maxlen=16)

    def add(self, element: Any, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Record a statement with its parameters."""
        self._seen.append((element, parameters))

    def take(self, final: Any) -> Seen | None:
        """Return the original of the statement ``final``: itself, or else the last one recorded."""
        for seen in reversed(self._seen):
            if seen[0] is final:
                self._seen.remove(seen)
                return seen
        return self._seen.pop() if self._seen else None


def is_like(seen: Any, parameters: Sequence[Mapping[str, Any]], context: Any) -> bool:
    """Whether the statement of ``context`` writes the rows and columns of ``seen``, with any values."""
    final = context.invoked_statement
    now, before = dml_of(getattr(final, "statement", final)), dml_of(getattr(seen, "statement", seen))
    if now is None or before is None:
        return now is before
    if now.__visit_name__ != before.__visit_name__ or _name(now.table) != _name(before.table):
        return False
    if isinstance(now, Insert) and isinstance(before, Insert):
        return now.select is before.select and len(conflict_clauses(now)) == len(conflict_clauses(before))
    return _keeps_to_rows(now, before) and (isinstance(now, Delete) or _written(context) <= _given(before, parameters))


def _name(table: Any) -> tuple[Any, Any]:
    return getattr(table, "schema", None), getattr(table, "name", None)


def _keeps_to_rows(now: Any, before: Any) -> bool:
    """Whether a statement still has the criterion of the locked rows; the unit of work names its rows individually."""
    if any(_is_restricted(criterion) for criterion in before._where_criteria):
        return any(_is_restricted(criterion) for criterion in now._where_criteria)
    return len(now._where_criteria) >= len(before._where_criteria)


def _is_restricted(criterion: Any) -> bool:
    return any(isinstance(part, Restriction) for part in visitors.iterate(criterion))


def _written(context: Any) -> set[str]:
    found = getattr(context.compiled.compile_state, "_dict_parameters", None) or {}
    return {getattr(column, "name", str(column)) for column in found}


def _given(before: Any, parameters: Sequence[Mapping[str, Any]]) -> set[str]:
    if not isinstance(before.table, Table):
        return set()
    columns = DMLStatement(before, before.table, [row for row in parameters if row]).written
    return {column.name for column in columns} | {c.name for c in before.table.columns if c.onupdate is not None}


def is_untouched(context: Any) -> bool:
    """Whether a statement of the engine itself has at most got a hint, a prefix or an option."""
    own = context.execution_options.get(STATEMENT_OPTION)
    now = context.invoked_statement
    if own is None or now is own:
        return True
    parts: Any = getattr(own, "_traverse_internals", ())
    names = {name for name, _ in parts} - _HARMLESS
    return type(now) is type(own) and all(_is_same(getattr(own, n, None), getattr(now, n, None)) for n in names)


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(_is_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping) and not one and not other:
        return True  # SQLAlchemy creates some of them on first access
    return one is other


def replaced_write(table: Table | None) -> UnmanagedWriteError:
    """Return the error for a replaced statement.

    :param table: the table that the original or the replacement writes; ``None`` for a statement of the engine itself.
    """
    which = "a statement of the System itself" if table is None else f"a statement that writes {table.fullname!r}"
    return UnmanagedWriteError(
        f"a listener to before_execute or before_cursor_execute has replaced {which}, so that computed values "
        "would not be updated; listeners to before_flush and do_orm_execute may change what is written, "
        "listeners of an engine may add hints and comments. Or set System(unmanaged_dml='allow') and run "
        "system.repair() afterwards",
        table=None if table is None else table.fullname,
    )
