"""Move counters in a table ``_IDS_(last INTEGER, name TEXT)`` to native sequences, and back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Dialect, Executable, String, column, func, literal, select, table, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from .operations import LockLegacyIds, MoveLegacyIds, ReturnLegacyIds

#: the counters' table; its name is case-sensitive
LEGACY_TABLE = "_IDS_"

# Each is a single statement, so that it works in a script too. PL/pgSQL parses a statement when it is reached, so it
# works without a table _IDS_.

# A transaction that has taken a number locks a row of _IDS_ until it ends. _IDS_ is locked before the table is altered:
# then these numbers are in the table already, and no writer that we wait for waits for us.
_LOCK = """\
DO $interaqt$
{declare}BEGIN
    IF to_regclass({legacy_literal}) IS NOT NULL THEN
        LOCK TABLE {legacy} IN EXCLUSIVE MODE;
    END IF;
{look}END $interaqt$"""

# A program that is still connected would take further numbers. It is detected by the locks of writers, which every role
# can see, or by its last statement, and gets a moment to end. Sessions that have only read cannot be attributed.
_DECLARE = """\
DECLARE
    writers text;
"""
_LOOK = """\
    FOR look IN 1..15 LOOP
        PERFORM pg_stat_clear_snapshot();
        writers := (
            SELECT string_agg(format('pid %s (%s)', a.pid, coalesce(nullif(a.application_name, ''), a.usename)), ', ')
            FROM pg_stat_activity AS a
            WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND (
                a.query ~* '^\\s*(INSERT|UPDATE|DELETE)\\M.*"(_rowId|_IDS_)"'
                OR a.query ~* '\\mnextval\\s*\\(.*seq_[0-9a-f]{{12}}_'
                OR EXISTS (
                    SELECT FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation
                    JOIN pg_namespace AS n ON n.oid = c.relnamespace
                    WHERE l.pid = a.pid AND l.locktype = 'relation' AND n.nspname = {schema_literal}
                    AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
                    AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                    AND (
                        c.relname = '_IDS_' OR c.relkind = 'S' AND c.relname ~ '^seq_[0-9a-f]{{12}}_' OR EXISTS (
                            SELECT FROM pg_attribute AS t WHERE t.attrelid = c.oid AND t.attname = '_rowId'
                        )
                    )
                )
            )
        );
        EXIT WHEN writers IS NULL;
        PERFORM pg_sleep(0.2);
    END LOOP;
    IF writers IS NOT NULL THEN
        RAISE EXCEPTION 'programs that take ids from _IDS_ are connected: %. Stop them, then run the migration again; '
            'alembic -x ignore-legacy-writers upgrade skips this check', writers;
    END IF;
"""

# Writers of the table wait. Ids that open transactions have taken from the sequence are covered by its last value, and
# a sequence never moves back. Version 1.3 of interaqt had its own sequences, seq_<hash>_<table>.
_MOVE = """\
DO $interaqt$
DECLARE
    highest bigint;
BEGIN
    LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;
    highest := (SELECT max(t.{column}) FROM {table} AS t);
{read}    highest := greatest(highest, (
        SELECT max(s.last_value) FROM pg_sequences AS s
        WHERE s.schemaname = {schema_literal} AND s.sequencename ~* {former_literal}
    ));
    highest := greatest(highest, (SELECT s.last_value FROM {sequence} AS s WHERE s.is_called));
    IF highest > 0 THEN
        PERFORM setval({sequence_literal}, highest);
    END IF;
END $interaqt$"""

_READ = """\
    IF to_regclass({legacy_literal}) IS NOT NULL THEN
        highest := greatest(highest, (SELECT max(i.last) FROM {legacy} AS i WHERE i.name IN ({records})));
    END IF;
"""

_RETURN = """\
DO $interaqt$
DECLARE
    highest bigint;
    former record;
BEGIN
    IF to_regclass({legacy_literal}) IS NOT NULL THEN
        LOCK TABLE {legacy} IN EXCLUSIVE MODE;
    END IF;
    LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;
    highest := (SELECT max(t.{column}) FROM {table} AS t);
    IF to_regclass({sequence_literal}) IS NOT NULL THEN
        highest := greatest(highest, (SELECT s.last_value FROM {sequence} AS s WHERE s.is_called));
    END IF;
    FOR former IN
        SELECT s.schemaname, s.sequencename FROM pg_sequences AS s WHERE s.schemaname = {schema_literal}
        AND s.sequencename ~* {former_literal} AND coalesce(s.last_value, 0) < highest
    LOOP
        PERFORM setval(format('%I.%I', former.schemaname, former.sequencename)::regclass, highest);
    END LOOP;
    IF to_regclass({legacy_literal}) IS NULL THEN
        RETURN;
    END IF;
    IF highest > coalesce((SELECT max(i.last) FROM {legacy} AS i WHERE i.name IN ({records})), 0) THEN
        DELETE FROM {legacy} WHERE name IN ({records});
        INSERT INTO {legacy} (last, name) SELECT highest, given.name FROM unnest(ARRAY[{records}]) AS given (name);
    END IF;
END $interaqt$"""


def lock_legacy_ids(operation: LockLegacyIds, dialect: Dialect, *, ignore_writers: bool = False) -> Executable | None:
    """Return the statement; ``None`` if the dialect has no sequences for ids.

    :param ignore_writers: whether to continue while programs that take ids from the counters are connected.
    """
    if not isinstance(dialect, PGDialect):
        return None
    parts = ("", "") if ignore_writers else (_DECLARE, _LOOK)
    template = _LOCK.replace("{declare}", parts[0]).replace("{look}", parts[1])
    return _statement(template, dialect, operation.schema)


def move_legacy_ids(operation: MoveLegacyIds, dialect: Dialect) -> Executable | None:
    """Return the statement; ``None`` if the dialect has no sequences for ids."""
    if not isinstance(dialect, PGDialect):
        return None
    return _statement(
        _MOVE.replace("{read}", _READ if operation.records else ""),
        dialect,
        operation.schema,
        sequence=operation.sequence,
        table=operation.table,
        column=operation.column,
        records=operation.records,
    )


def return_legacy_ids(operation: ReturnLegacyIds, dialect: Dialect) -> Executable | None:
    """Return the statement; ``None`` if the dialect has no sequences for ids, or no counters are named."""
    if not isinstance(dialect, PGDialect) or not operation.records:
        return None
    return _statement(
        _RETURN,
        dialect,
        operation.schema,
        sequence=operation.sequence,
        table=operation.table,
        column=operation.column,
        records=operation.records,
    )


def is_behind(connection: Connection, sequence: str, records: Sequence[str], schema: str | None) -> bool:
    """Whether a sequence would generate an id that ``_IDS_`` has given to one of ``records``."""
    counters = table(LEGACY_TABLE, column("last"), column("name"), schema=schema)
    given = connection.scalar(select(func.max(counters.c.last)).where(counters.c.name.in_(records)))
    if given is None:
        return False
    state = table(sequence, column("last_value"), column("is_called"), schema=schema)
    reached, is_called = connection.execute(select(state.c.last_value, state.c.is_called)).one()
    return bool(given >= reached + is_called)


def _statement(
    template: str,
    dialect: Dialect,
    schema: str | None,
    *,
    sequence: str = "",
    table: str = "",
    column: str = "",
    records: Sequence[str] = (),
) -> Executable:
    preparer = dialect.identifier_preparer

    def quote(name: str) -> str:
        return preparer.quote(name) if name else ""  # SQLAlchemy 2.0 cannot quote an empty name

    prefix = f"{quote(schema)}." if schema else ""
    legacy = f'{prefix}"{LEGACY_TABLE}"'
    statement = template.format(
        legacy=legacy,
        legacy_literal=_literal(legacy, dialect),
        sequence=f"{prefix}{quote(sequence)}",
        sequence_literal=_literal(f"{prefix}{quote(sequence)}", dialect),
        table=f"{prefix}{quote(table)}",
        column=quote(column),
        records=", ".join(_literal(name, dialect) for name in records),
        schema_literal=_literal(schema, dialect) if schema else "current_schema()",
        former_literal=_literal(rf"^seq_[0-9a-f]+_({'|'.join(map(_pattern, (table, *records)))})$", dialect),
    )
    return text(statement.replace(":", r"\:"))


def _pattern(table: str) -> str:
    # characters other than letters were replaced, and long names truncated
    return "".join(part if part.isalnum() else "." for part in table[:32])


def _literal(value: str, dialect: Dialect) -> str:
    return str(literal(value, String).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
