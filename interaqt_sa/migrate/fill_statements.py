"""SQL that fills values without the models: for scripts, and for revisions that outlive their models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, Delete, Dialect, Insert, Integer, Table, Update, exists, insert, literal, select, update
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.exc import CompileError

from ..dialects import dialect_for
from ..engine.engine import Statements, whole_update
from ..schema.compile.dictionaries import ROW_ID
from .backfill_passes import initial_values, is_dictionary
from .declared import Declared
from .default_backfill import DEFAULT
from .value_dependencies import Pass, passes

# a class without annotations
_POSTGRESQL: Any = PGDialect


def value_sql(declared: Declared, name: str, kind: str) -> list[str]:
    """Return the PostgreSQL statements that fill ``name``; none if that requires Python.

    :param kind: the fingerprint, or ``"default"``.
    """
    dialect: Dialect = _POSTGRESQL()
    filling: Iterable[Insert | Update] | None
    if kind == DEFAULT:
        column = declared.default(name)
        filling = None if column is None else default_update(column, dialect)
    elif name in declared.values:
        group = next(group for group in passes(declared.plan, [name]) if declared.values[name] in group.values)
        updates = set_based(dialect, declared, replace(group, values=[declared.values[name]]))
        filling = None if updates is None else [*missing_row(group.table), *updates]
    else:
        filling = None
    return [] if filling is None else [literal_sql(statement, dialect) for statement in filling]


def set_based(dialect: Dialect, declared: Declared, group: Pass) -> Sequence[Update] | None:
    """Return statements that fill a pass; ``None`` if it requires Python or functions of our connections."""
    if dialect.name != "postgresql" or group.follow:
        return None
    aggregates = [value for value in group.values if value.is_aggregate]
    initial = initial_values(group)
    if len(aggregates) + len(initial) < len(group.values):
        return None
    statements = Statements(declared.plan, dialect_for(dialect))
    whole = whole_update(statements, aggregates) if aggregates else None
    if aggregates and whole is None:
        return None
    filling = [] if whole is None else [whole]
    filling += [_where_null(column, value) for column, value in initial.items()]
    return filling if _have_literals(filling, dialect) else None


def missing_row(table: Table) -> list[Insert]:
    """Return the INSERT of the single row of a dictionary, if it is missing; no statement for other tables."""
    if not is_dictionary(table):
        return []
    absent = ~exists().select_from(table)
    return [insert(table).from_select(["id"], select(literal(ROW_ID, Integer)).where(absent))]


def default_update(column: Column[Any], dialect: Dialect) -> Sequence[Update] | None:
    """Return the statements that write a default into rows without a value; ``None`` if it requires Python."""
    default: Any = column.default
    if default.is_callable:
        return None
    filling = [_where_null(column, default.arg)]
    return filling if _have_literals(filling, dialect) else None


def literal_sql(statement: Delete | Insert | Update, dialect: Dialect) -> str:
    """Return a statement as text, with its values."""
    compiled: Any = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return str(compiled)


def _where_null(column: Column[Any], value: Any) -> Update:
    return update(column.table).where(column.is_(None)).values({column: literal(value, column.type)})


def _have_literals(filling: Iterable[Update], dialect: Dialect) -> bool:
    try:
        for statement in filling:
            literal_sql(statement, dialect)
    except (CompileError, NotImplementedError):
        return False
    return True
