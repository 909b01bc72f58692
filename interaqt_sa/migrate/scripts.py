"""What ``alembic upgrade --sql`` prints for work that only a program can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import Delete, Insert, delete, insert
from sqlalchemy.schema import CreateTable

from .backfill import Job
from .operations import Backfill
from .state import DONE, metadatas, state_table

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext


def retirement(context: MigrationContext, name: str) -> Delete:
    """Return what forgets that ``name`` was computed."""
    state = state_table(metadatas(context.opts.get("target_metadata"))[0])
    return delete(state).where(state.c.name == name)


def script_backfill(context: MigrationContext, operation: Backfill) -> Iterator[str]:
    """Yield SQL that stops the script if there are rows to fill, and notes an empty table as filled.

    Values are computed by the engine, not by a script: a head that was stamped without them would never be filled.
    """
    targets = metadatas(context.opts.get("target_metadata"))
    job = next((job for metadata in targets if (job := Job.of(operation, metadata)) is not None), None)
    told = f"{operation.name} cannot be computed by a script: run this revision online, by alembic upgrade"
    if job is None:
        # nothing is noted, so the revision of the newer declaration still fills it
        yield f"-- {told}; the models do not declare it this way any more, so nothing is done here\n"
        return
    dialect = context.dialect
    table = dialect.identifier_preparer.format_table(job.table)
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
    state = state_table(targets[0])
    create = str(CreateTable(state, if_not_exists=True).compile(dialect=dialect)).strip()
    yield f"{create};\n"
    row = {"name": operation.name, "fingerprint": operation.fingerprint, "phase": DONE}
    yield _literal(retirement(context, operation.name), context)
    yield _literal(insert(state).values(row), context)


def _literal(statement: Delete | Insert, context: MigrationContext) -> str:
    compiled: Any = statement.compile(dialect=context.dialect, compile_kwargs={"literal_binds": True})
    return f"{compiled};\n"
