"""The output of ``alembic upgrade --sql`` for back-fills: SQL, or statements that stop the script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Delete, Insert, Table, Update, delete, insert
from sqlalchemy.schema import CreateTable

from ..engine.engine import ComputedValue
from .backfill_passes import is_dictionary
from .backfill_state import DONE, WAITING, metadatas, state_of
from .declared import Declared
from .default_backfill import DEFAULT
from .fill_statements import default_update, literal_sql, missing_row, set_based
from .operations import Backfill
from .value_dependencies import passes, reads_any

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext


def retirement(context: MigrationContext, names: Sequence[str]) -> Delete:
    """Return the statement that deletes the records of ``names``."""
    state = _state(context)
    declared = _declared(context)
    recorded = {*names, *(one.place_of(name) for one in declared for given in names for name in one.names_of(given))}
    return delete(state).where(state.c.name.in_(sorted(recorded)))


def waiting(context: MigrationContext, name: str, fingerprint: str) -> Insert:
    """Return the statement that records that a back-fill waits for the models of another version."""
    places = {one.place_of(n) for one in _declared(context) for n in one.names_of(name, fingerprint)} - {name}
    row = {"name": places.pop() if len(places) == 1 else name, "fingerprint": fingerprint, "phase": WAITING}
    return insert(_state(context)).values(row)


def _declared(context: MigrationContext) -> list[Declared]:
    return Declared.all(metadatas(context.opts.get("target_metadata")))


def _state(context: MigrationContext) -> Table:
    return state_of(metadatas(context.opts.get("target_metadata")))


def script_backfill(context: MigrationContext, operation: Backfill) -> Iterator[str]:
    """Yield SQL that fills values, or that stops the script if this requires Python and there are rows.

    Otherwise the head would be stamped without its values, which would never be filled.
    """
    declared = _declared(context)
    for name, said in operation.values.items():
        if any(one.declares(name, said) for one in declared):
            continue
        if operation.sql.get(name) and context.dialect.name == "postgresql":
            yield f"-- {name}: the models do not declare it any more\n"
            yield from (f"{statement};\n" for statement in operation.sql[name])
        else:
            yield f"-- {name} is skipped: the models do not declare it any more\n"
    yield f"{str(CreateTable(_state(context), if_not_exists=True).compile(dialect=context.dialect)).strip()};\n"
    for one in declared:
        known = {name: said for given, said in operation.values.items() for name in one.names_of(given, said)}
        mine = {name: kind for name, said in known.items() if (kind := one.kind(name, said)) is not None}
        if mine:
            yield from _script(context, one, mine)


def _script(context: MigrationContext, one: Declared, names: Mapping[str, str]) -> Iterator[str]:
    for name, kind in names.items():
        column = one.default(name) if kind == DEFAULT else None
        if column is not None:
            yield from _script_default(context, one, name, column)
    found = passes(one.plan, [name for name in names if name in one.values])
    for group in found:
        filling = set_based(context.dialect, one, group)
        yield from (_literal(statement, context) for statement in missing_row(group.table))
        if filling is None:
            for value in group.values:
                for table in _read_by(one, value):
                    yield from _stop(context, value.name, table)
        else:
            yield from (_literal(statement, context) for statement in filling)
        yield from _note(context, one, {value.name: one.fingerprints[value.name] for value in group.values})
    filled = [value for group in found for value in group.values]
    for name, derivation in one.derivations.items():
        if name in names or reads_any(derivation, filled):
            yield from _stop(context, name, one.table_of(name))
            yield from _note(context, one, {name: one.fingerprints[name]})


def _read_by(one: Declared, value: ComputedValue) -> Sequence[Table]:
    """Return the tables that must have rows for a value to be computed: for a dictionary, those that it reads."""
    if not is_dictionary(value.table):
        return [value.table]
    edges = [edge for edge in one.plan.hosts[value.table].edges if any(part.value is value for part in edge.parts)]
    return list(dict.fromkeys(edge.member.table for edge in edges)) or [value.table]


def _script_default(context: MigrationContext, one: Declared, name: str, column: Column[Any]) -> Iterator[str]:
    filling = default_update(column, context.dialect)
    if filling is None:
        yield from _stop(context, name, column.table)
    else:
        yield from (_literal(statement, context) for statement in filling)
    yield from _note(context, one, {name: DEFAULT})


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


def _note(context: MigrationContext, one: Declared, fingerprints: Mapping[str, str]) -> Iterator[str]:
    yield _literal(retirement(context, list(fingerprints)), context)
    for name, fingerprint in fingerprints.items():
        row = {"name": one.place_of(name), "fingerprint": fingerprint, "phase": DONE}
        yield _literal(insert(_state(context)).values(row), context)


def _literal(statement: Delete | Insert | Update, context: MigrationContext) -> str:
    return f"{literal_sql(statement, context.dialect)};\n"
