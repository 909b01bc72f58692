"""The output of ``alembic upgrade --sql`` for back-fills: SQL, or statements that stop the script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Delete, Insert, Table, Update, delete, insert, literal, update
from sqlalchemy.exc import CompileError
from sqlalchemy.schema import CreateTable

from ..dialects import dialect_for
from ..engine.engine import Statements, whole_update
from .backfill_passes import initial_values
from .backfill_state import DONE, WAITING, metadatas, state_of
from .declared import Declared
from .default_backfill import DEFAULT
from .operations import Backfill
from .value_dependencies import Pass, passes, reads_any

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext


def retirement(context: MigrationContext, names: Sequence[str]) -> Delete:
    """Return the statement that deletes the records of ``names``."""
    state = _state(context)
    return delete(state).where(state.c.name.in_(names))


def waiting(context: MigrationContext, name: str, fingerprint: str) -> Insert:
    """Return the statement that records that a back-fill waits for the models of another version."""
    row = {"name": name, "fingerprint": fingerprint, "phase": WAITING}
    return insert(_state(context)).values(row)


def _state(context: MigrationContext) -> Table:
    return state_of(metadatas(context.opts.get("target_metadata")))


def script_backfill(context: MigrationContext, operation: Backfill) -> Iterator[str]:
    """Yield SQL that fills values, or that stops the script if this requires Python and there are rows.

    Otherwise the head would be stamped without its values, which would never be filled.
    """
    declared = Declared.all(metadatas(context.opts.get("target_metadata")))
    for name, said in operation.values.items():
        if not any(one.kind(name, said) for one in declared):
            yield f"-- {name} is skipped: the models do not declare it any more\n"
    yield f"{str(CreateTable(_state(context), if_not_exists=True).compile(dialect=context.dialect)).strip()};\n"
    for one in declared:
        mine = {name: kind for name, said in operation.values.items() if (kind := one.kind(name, said)) is not None}
        if mine:
            yield from _script(context, one, mine)


def _script(context: MigrationContext, one: Declared, names: Mapping[str, str]) -> Iterator[str]:
    for name, kind in names.items():
        column = one.default(name) if kind == DEFAULT else None
        if column is not None:
            yield from _script_default(context, name, column)
    found = passes(one.plan, [name for name in names if name in one.values])
    for group in found:
        filling = _set_based(context, one, group)
        if filling is None:
            for value in group.values:
                yield from _stop(context, value.name, group.table)
        else:
            yield from (_literal(statement, context) for statement in filling)
        yield from _note(context, {value.name: one.fingerprints[value.name] for value in group.values})
    filled = [value for group in found for value in group.values]
    for name, derivation in one.derivations.items():
        if name in names or reads_any(derivation, filled):
            yield from _stop(context, name, one.table_of(name))
            yield from _note(context, {name: one.fingerprints[name]})


def _script_default(context: MigrationContext, name: str, column: Column[Any]) -> Iterator[str]:
    default: Any = column.default
    if default.is_callable:
        yield from _stop(context, name, column.table)
    else:
        statement = update(column.table).where(column.is_(None)).values({column: literal(default.arg, column.type)})
        yield _literal(statement, context)
    yield from _note(context, {name: DEFAULT})


def _set_based(context: MigrationContext, one: Declared, group: Pass) -> list[Update] | None:
    """Return statements that fill a pass; ``None`` if it requires Python, or functions of the engine's connections."""
    if context.dialect.name != "postgresql" or group.follow:
        return None
    aggregates = [value for value in group.values if value.is_aggregate]
    initial = initial_values(group)
    if len(aggregates) + len(initial) < len(group.values):
        return None
    statements = Statements(one.plan, dialect_for(context.dialect))
    whole = whole_update(statements, aggregates) if aggregates else None
    if aggregates and whole is None:
        return None
    filling = [] if whole is None else [whole]
    for column, value in initial.items():
        filling.append(update(group.table).where(column.is_(None)).values({column: literal(value, column.type)}))
    try:
        for statement in filling:
            _literal(statement, context)
    except (CompileError, NotImplementedError):
        return None  # a value that has no literal
    return filling


def _stop(context: MigrationContext, name: str, filled: Table) -> Iterator[str]:
    """Yield statements that fail if ``filled`` has rows."""
    return stop_script(context, f"{name} cannot be computed by a script", filled.name, schema=filled.schema)


def stop_script(context: MigrationContext, why: str, table: str, *, schema: str | None = None) -> Iterator[str]:
    """Yield statements that fail with the reason ``why`` if a table has rows."""
    told = f"{why}: run this revision online, by alembic upgrade"
    dialect = context.dialect
    quote = dialect.identifier_preparer.quote
    named = f"{quote(schema)}.{quote(table)}" if schema else quote(table)
    yield f"-- {told}, if {named} has rows\n"
    if dialect.name == "postgresql":
        text = told.replace("'", "''").replace("%", "%%")
        yield (
            f"DO $interaqt$ BEGIN IF EXISTS (SELECT 1 FROM {named}) THEN RAISE EXCEPTION '{text}'; END IF; "
            "END $interaqt$;\n"
        )
        return
    # a statement that fails conditionally: on SQLite only triggers can raise custom errors
    check = quote(told)
    yield f"CREATE TEMPORARY TABLE interaqt_stop (filled INTEGER CONSTRAINT {check} CHECK (filled = 1));\n"
    yield f"INSERT INTO interaqt_stop SELECT NOT EXISTS (SELECT 1 FROM {named});\n"
    yield "DROP TABLE interaqt_stop;\n"


def _note(context: MigrationContext, fingerprints: Mapping[str, str]) -> Iterator[str]:
    yield _literal(retirement(context, list(fingerprints)), context)
    for name, fingerprint in fingerprints.items():
        row = {"name": name, "fingerprint": fingerprint, "phase": DONE}
        yield _literal(insert(_state(context)).values(row), context)


def _literal(statement: Delete | Insert | Update, context: MigrationContext) -> str:
    compiled: Any = statement.compile(dialect=context.dialect, compile_kwargs={"literal_binds": True})
    return f"{compiled};\n"
