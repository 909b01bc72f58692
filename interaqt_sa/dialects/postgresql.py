"""PostgreSQL: arrays, ``unnest``, row locks of four strengths, sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Float,
    FromClause,
    Integer,
    Numeric,
    Select,
    SmallInteger,
    Table,
    any_,
    column,
    func,
    select,
    text,
    tuple_,
    types,
)
from sqlalchemy import Sequence as SQLSequence
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.dialects.postgresql.ranges import AbstractMultiRange
from sqlalchemy.types import TypeDecorator, TypeEngine

from .base import LOCK_NAMES, NO_VALUES, DatabaseDialect, Lock, RowShape, named, parameter
from .execution_options import ENGINE_OPTIONS
from .postgresql_comparisons import comparison_fault

_LOCKS = {
    Lock.KEY_SHARE: {"read": True, "key_share": True},
    Lock.SHARE: {"read": True},
    Lock.NO_KEY_UPDATE: {"key_share": True},
    Lock.UPDATE: {},
}


#: types whose values are lists
_LISTS = (types.ARRAY, AbstractMultiRange)


_HAS_TRIGGERS = text("SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(:name) AND NOT tgisinternal)")

_PROCEDURES = text("""
    SELECT pg_get_functiondef(p.oid)
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace, parse_ident(CAST(:name AS text)) AS part
    WHERE p.prokind = 'p' AND p.proname = part[cardinality(part)]
      AND CASE cardinality(part) WHEN 1 THEN pg_function_is_visible(p.oid)
          ELSE n.nspname = part[cardinality(part) - 1] END
""")

# a partition is inherited from its table; a view, and a table with rules, depends on others by its rules
_TABLES_BEHIND = """
    WITH RECURSIVE step AS (
        SELECT inhrelid AS below, inhparent AS above FROM pg_inherits
        UNION ALL
        SELECT r.ev_class, d.refobjid FROM pg_rewrite AS r JOIN pg_depend AS d ON d.objid = r.oid
        WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
    ), reached AS (
        SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relname = {name} AND n.nspname = {schema}
        UNION
        SELECT step.above FROM step JOIN reached ON reached.oid = step.below
    )
    SELECT n.nspname, c.relname FROM reached JOIN pg_class AS c ON c.oid = reached.oid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND c.relname <> {name}
"""


def _is_decimal(type_: TypeEngine[Any]) -> bool:
    return isinstance(type_, Numeric) and type_.asdecimal and not isinstance(type_, Float)


def _decimal(value: Any) -> Any:
    return Decimal(value) if type(value) is int else value


def _literal(name: str) -> str:
    return "'" + str(name).replace("'", "''") + "'"


def _array(type_: TypeEngine[Any]) -> ARRAY[Any]:
    # one dimension: a list among the values, such as a JSON array, is a single value
    return ARRAY(type_, dimensions=1)


def _impl(type_: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return the type in the database, below all decorators."""
    found = type_.dialect_impl(dialect)
    while isinstance(found, TypeDecorator):
        found = found.impl_instance.dialect_impl(dialect)
    return found


_BITS: tuple[tuple[type[Any], int], ...] = ((SmallInteger, 15), (BigInteger, 63), (Integer, 31))
# nextval only moves forward, also under concurrency, but one by one. setval would revert numbers that others fetch
# between its read and its write, so it is used only across a gap larger than they could fetch.
_MOVE_SEQUENCE = """
    SELECT CASE WHEN :id - last_value > 100000 THEN setval(CAST(:name AS regclass), :id)
           ELSE (SELECT max(nextval(CAST(:name AS regclass)))
                 FROM generate_series(1, :id - last_value + CASE WHEN is_called THEN 0 ELSE 1 END)) END
    FROM {name} WHERE last_value < :id OR (last_value = :id AND NOT is_called)
"""


class PostgreSQLDialect(DatabaseDialect):
    """PostgreSQL 13 and later."""

    name = "postgresql"
    has_row_locks = True
    sorts_null_last = True
    has_isolation_levels = True
    checks_lengths = True
    stores_nul = False
    stores_decimals = True
    refuses_overflow = True
    chains_updates = True
    returns_joined = True
    rounds_values = True

    @classmethod
    def insert(cls, into: Any) -> Any:
        return insert(into)

    @classmethod
    def integer_bits(cls, type_: TypeEngine[Any]) -> int:
        return next(bits for kind, bits in _BITS if isinstance(type_, kind))

    @classmethod
    def pattern_fault(cls, pattern: str) -> str | None:
        escapes = len(pattern) - len(pattern.rstrip("\\"))
        return "a pattern must not end with a single backslash, its escape character" if escapes % 2 else None

    @classmethod
    def comparison_fault(cls, type_: TypeEngine[Any], operator: str, dialect: Dialect) -> str | None:
        return comparison_fault(type_, operator, dialect)

    @classmethod
    def commits_by_itself(cls, connection: Connection) -> bool:
        try:
            return connection.dialect.detect_autocommit_setting(connection.connection.dbapi_connection)  # type: ignore[arg-type]
        except NotImplementedError:
            return False

    @classmethod
    def move_sequence(cls, connection: Connection, sequence: SQLSequence, past: int) -> None:
        name = connection.dialect.identifier_preparer.format_sequence(sequence)
        connection.execute(text(_MOVE_SEQUENCE.format(name=name)), {"id": past, "name": name})

    def has_triggers(self, connection: Connection, table: Table) -> bool:
        name = connection.dialect.identifier_preparer.format_table(table, name=None, use_schema=False)
        schema = connection.schema_for_object(table)
        if schema:
            name = f"{connection.dialect.identifier_preparer.quote_schema(schema)}.{name}"
        return bool(connection.scalar(_HAS_TRIGGERS, {"name": name}, execution_options=ENGINE_OPTIONS))

    def procedure_texts(self, connection: Connection, name: str) -> Sequence[str]:
        return connection.scalars(_PROCEDURES, {"name": name}, execution_options=ENGINE_OPTIONS).all()

    def tables_behind(self, connection: Connection, schema: str, name: str) -> Sequence[tuple[str, str]]:
        # with the driver's cursor, because listeners of the application do not expect this statement
        literals = {"name": _literal(name), "schema": _literal(schema)}
        cursor = connection.connection.cursor()
        try:
            cursor.execute(_TABLES_BEHIND.format(**literals))
            return [(row[0], row[1]) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def packs(self, type_: TypeEngine[Any]) -> bool:
        # arrays do not nest: an array of arrays is multidimensional, and unnest() expands all dimensions
        return super().packs(type_) and not isinstance(_impl(type_, self.sqlalchemy_dialect), _LISTS)

    def row_set(self, name: str, shape: RowShape, values: Mapping[str, Any] = NO_VALUES) -> FromClause:
        arrays = [parameter(named(f"{name}_{field}"), _array(type_), values) for field, type_ in shape]
        return (
            func.unnest(*arrays)
            .table_valued(*(column(field, type_) for field, type_ in shape))
            .render_derived(name=name)
        )

    def pack(self, name: str, shape: RowShape, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        packed: dict[str, Any] = {}
        for i, (field, type_) in enumerate(shape):
            values = [row[i] for row in rows]
            # psycopg requires one type in an array, and zeros among the decimals are ints
            packed[named(f"{name}_{field}")] = list(map(_decimal, values)) if _is_decimal(type_) else values
        return packed

    def contains(
        self,
        columns: Sequence[ColumnElement[Any]],
        name: str,
        shape: RowShape,
        values: Mapping[str, Any] = NO_VALUES,
    ) -> ColumnElement[bool]:
        if len(columns) == 1:
            ((field, type_),) = shape
            return columns[0] == any_(parameter(named(f"{name}_{field}"), _array(type_), values))
        rows = self.row_set(name, shape, values)
        return tuple_(*columns).in_(select(*rows.c))

    def fold_name(self, name: str) -> str:
        # SQLAlchemy quotes a name that is not all in lower case, unless quote=False was given
        return str.lower(name) if getattr(name, "quote", None) is False else str(name)

    def lock(self, statement: Select[Any], lock: Lock, of: FromClause, *, skips_locked: bool = False) -> Select[Any]:
        return statement.with_for_update(of=of, skip_locked=skips_locked, **_LOCKS[lock])

    def lock_tables(self, names: Sequence[str]) -> str | None:
        return f"LOCK TABLE {', '.join(names)} IN SHARE ROW EXCLUSIVE MODE"

    def lock_names(self, *, shared: bool = False) -> Executable | None:
        names = self.row_set("names", LOCK_NAMES)
        ordered = select(names.c.n).order_by(names.c.n).subquery("ordered")
        lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        return select(lock(ordered.c.n))
