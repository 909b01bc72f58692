"""From counters in a table ``_IDS_(last INTEGER, name TEXT)`` to native sequences."""

from __future__ import annotations

from sqlalchemy import Dialect, Executable, String, literal, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from .operations import MoveLegacyIds

#: The counters' table; its name is case-sensitive.
LEGACY_TABLE = "_IDS_"

# One statement, so that it serves a script as well. Writers of the table wait; ids that open transactions have taken
# from the sequence already are covered by its last value, and a sequence never moves back. PL/pgSQL looks at a
# statement when it is reached: without a table _IDS_ nothing refers to it.
_MOVE = """\
DO $interaqt$
DECLARE
    highest bigint;
BEGIN
    LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;
    highest := (SELECT max(t.{column}) FROM {table} AS t);
{legacy}    highest := greatest(highest, (SELECT s.last_value FROM {sequence} AS s WHERE s.is_called));
    IF highest > 0 THEN
        PERFORM setval({sequence_literal}, highest);
    END IF;
END $interaqt$"""

_LEGACY = """\
    IF to_regclass('"_IDS_"') IS NOT NULL THEN
        highest := greatest(highest, (SELECT max(i.last) FROM "_IDS_" AS i WHERE i.name IN ({records})));
    END IF;
"""


def move_legacy_ids(operation: MoveLegacyIds, dialect: Dialect) -> Executable | None:
    """Return the statement; ``None`` where ids do not come from sequences."""
    if not isinstance(dialect, PGDialect):
        return None
    preparer = dialect.identifier_preparer
    schema = f"{preparer.quote(operation.schema)}." if operation.schema else ""
    sequence = f"{schema}{preparer.quote(operation.sequence)}"
    records = ", ".join(_literal(name, dialect) for name in operation.records)
    statement = _MOVE.format(
        table=f"{schema}{preparer.quote(operation.table)}",
        column=preparer.quote(operation.column),
        sequence=sequence,
        sequence_literal=_literal(sequence, dialect),
        legacy=_LEGACY.format(records=records) if records else "",
    )
    return text(statement.replace(":", r"\:"))


def _literal(value: str, dialect: Dialect) -> str:
    return str(literal(value, String).compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
