"""What ``alembic upgrade --sql`` prints for work that only a program can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Delete, Insert, Table, delete, insert
from sqlalchemy.schema import CreateTable

from .declared import Declared
from .defaults import DEFAULT
from .operations import Backfill
from .state import DONE, WAITING, metadatas, state_of

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext


def retirement(context: MigrationContext, names: Sequence[str]) -> Delete:
    """Return what forgets that ``names`` were computed."""
    state = _state(context)
    return delete(state).where(state.c.name.in_(names))


def waiting(context: MigrationContext, name: str, fingerprint: str) -> Insert:
    """Return what notes that a back-fill has to wait for the models of another version."""
    row = {"name": name, "fingerprint": fingerprint, "phase": WAITING}
    return insert(_state(context)).values(row)


def _state(context: MigrationContext) -> Table:
    return state_of(metadatas(context.opts.get("target_metadata")))


def script_backfill(context: MigrationContext, operation: Backfill) -> Iterator[str]:
    """Yield SQL that stops the script if there are rows to fill, and notes an empty table as filled.

    Values are computed by the engine, not by a script: a head that was stamped without them would never be filled.
    """
    declared = Declared.all(metadatas(context.opts.get("target_metadata")))
    for name, said in operation.values.items():
        found = next(((one, kind) for one in declared if (kind := one.kind(name, said)) is not None), None)
        if found is None:
            yield f"-- {_told(name)}; the models do not declare it any more, so nothing is done here\n"
            continue
        one, kind = found
        column = one.default(name) if kind == DEFAULT else None
        yield from _script_value(context, name, kind, column.table if column is not None else one.table_of(name))


def _script_value(context: MigrationContext, name: str, fingerprint: str, filled: Table) -> Iterator[str]:
    told = _told(name)
    dialect = context.dialect
    table = dialect.identifier_preparer.format_table(filled)
    yield f"-- {told}, if {table} has rows\n"
    if dialect.name == "postgresql":
        text = told.replace("'", "''").replace("%", "%%")
        yield (
            f"DO $interaqt$ BEGIN IF EXISTS (SELECT 1 FROM {table}) THEN RAISE EXCEPTION '{text}'; END IF; "
            "END $interaqt$;\n"
        )
    else:
        # a statement that fails under a condition: only triggers can raise errors of their own on SQLite
        check = dialect.identifier_preparer.quote(told)
        yield f"CREATE TEMPORARY TABLE interaqt_stop (filled INTEGER CONSTRAINT {check} CHECK (filled = 1));\n"
        yield f"INSERT INTO interaqt_stop SELECT NOT EXISTS (SELECT 1 FROM {table});\n"
        yield "DROP TABLE interaqt_stop;\n"
    state = _state(context)
    create = str(CreateTable(state, if_not_exists=True).compile(dialect=dialect)).strip()
    yield f"{create};\n"
    row = {"name": name, "fingerprint": fingerprint, "phase": DONE}
    yield _literal(retirement(context, [name]), context)
    yield _literal(insert(state).values(row), context)


def _told(name: str) -> str:
    return f"{name} cannot be computed by a script: run this revision online, by alembic upgrade"


def _literal(statement: Delete | Insert, context: MigrationContext) -> str:
    compiled: Any = statement.compile(dialect=context.dialect, compile_kwargs={"literal_binds": True})
    return f"{compiled};\n"
