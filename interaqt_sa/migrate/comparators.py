"""Autogenerate comparators for sequences, and for values that are not computed yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import CreateTableOp, UpgradeOps
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, MetaData, Sequence, Table
from sqlalchemy.schema import SchemaItem

from ..definitions.computation import INFO_KEY
from ..schema.metadata_state import Catalog
from ..schema.record_lookup import record_name
from .backfill_state import DONE, STATE_TABLE, Row, metadatas, read_state, state_table
from .column_default_sequences import sequence_of
from .declared import Declared, missing_columns
from .default_backfill import DEFAULT, added_defaults
from .derived_row_origins import delete_in_downgrade
from .directives import hold_after_values
from .fill_statements import value_sql
from .legacy_id_counters import LEGACY_TABLE, is_behind
from .moved_links import move_links
from .operations import Backfill, CreateSequence, LockLegacyIds, MoveLegacyIds, RetireBackfill, WithoutModels
from .revalued_columns import added_to_derived_rows, altered_columns
from .sqlite_unsupported_operations import warn_of_alterations
from .unconverted_values import clear_unconverted
from .value_dependencies import reading, reads_any, with_dependents

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin


log = logging.getLogger("alembic.interaqt_sa")


def setup(plugin: Plugin) -> None:
    """Add the comparators of this module to ``plugin``."""
    plugin.add_autogenerate_comparator(
        compare_sequences, "schema", "interaqt_sequences", priority=DispatchPriority.FIRST
    )
    plugin.add_autogenerate_comparator(compare_values, "schema", "interaqt_values", priority=DispatchPriority.LAST)


def compare_sequences(
    context: AutogenContext, upgrade_ops: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    """Find sequences that do not exist; runs first, because defaults of new columns refer to them."""
    for table, _, sequence in _new_sequences(context, schemas):
        if _wanted(context, table):
            upgrade_ops.ops.append(CreateSequence.of(sequence))
    return PriorityDispatchResult.CONTINUE


def compare_values(
    context: AutogenContext, upgrade_ops: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    """Find ids to move into sequences and values to compute; runs last, because these need all other operations."""
    for table, column, sequence in _new_sequences(context, schemas):
        if _wanted(context, table) and context.inspector.has_table(table.name, schema=table.schema):
            upgrade_ops.ops.append(
                MoveLegacyIds(sequence.name, table.name, column.name, _records(table), schema=table.schema)
            )
    upgrade_ops.ops.extend(_sequences_behind(context, schemas))
    moved = {op.schema for op in upgrade_ops.ops if isinstance(op, MoveLegacyIds)}
    legacy = [schema for schema in sorted(moved, key=str) if context.inspector.has_table(LEGACY_TABLE, schema=schema)]
    upgrade_ops.ops[:0] = [LockLegacyIds(schema=schema) for schema in legacy]
    if legacy:
        log.warning("Stop the programs that take ids from _IDS_ before this revision runs: its sequences replace it")
    for operation in upgrade_ops.ops:
        if isinstance(operation, CreateTableOp):
            operation.columns = [_with_server_default_only(item) for item in operation.columns]
            # declarations belong to the models, and cannot be rendered in a revision
            operation.info = {key: value for key, value in operation.info.items() if not str(key).startswith(INFO_KEY)}
    move_links(context, upgrade_ops)
    # defaults before computed values, which may read them
    filled = _filled(context)
    for metadata in metadatas(context.metadata):
        for name, column in list(added_defaults(metadata, upgrade_ops)):
            if (
                name in filled or f"{column.table}.{column.name}" in filled
            ):  # for an earlier declaration, since which rows without a value were written
                upgrade_ops.ops.append(RetireBackfill([name], {name: DEFAULT}))
            later = partial(_without_models_default, metadata, name)
            upgrade_ops.ops.append(Backfill({name: DEFAULT}, columns=[column], without_models=[later]))
    declared = Declared.all(metadatas(context.metadata))
    upgrade_ops.ops.extend(_retirements(context, declared))
    upgrade_ops.ops.extend(list(_backfills(context, declared, upgrade_ops)))
    delete_in_downgrade(declared, upgrade_ops, context.dialect)
    clear_unconverted(context, upgrade_ops)
    hold_after_values(upgrade_ops)
    warn_of_alterations(context, upgrade_ops)
    return PriorityDispatchResult.CONTINUE


def _new_sequences(context: AutogenContext, schemas: set[str | None]) -> Iterator[tuple[Table, Column[Any], Sequence]]:
    if not context.dialect.supports_sequences:
        return
    inspector = context.inspector
    default = inspector.default_schema_name
    existing = {(schema, name) for schema in schemas for name in inspector.get_sequence_names(schema=schema)}
    for metadata in metadatas(context.metadata):
        for table in sorted(metadata.tables.values(), key=lambda table: table.fullname):
            for column in table.columns:
                sequence = sequence_of(column)
                if sequence is None or (sequence.optional and context.dialect.sequences_optional):
                    continue
                schema = None if sequence.schema == default and None in schemas else sequence.schema
                if schema in schemas and (schema, sequence.name) not in existing:
                    existing.add((schema, sequence.name))
                    yield table, column, sequence


def _sequences_behind(context: AutogenContext, schemas: set[str | None]) -> Iterator[MoveLegacyIds]:
    """Find sequences that exist, such as those of SERIAL columns, but would generate ids that ``_IDS_`` has given."""
    connection = context.connection
    if connection is None or not context.dialect.supports_sequences:
        return
    inspector = context.inspector
    default = inspector.default_schema_name
    for schema in sorted(schemas, key=str):
        if not inspector.has_table(LEGACY_TABLE, schema=schema):
            continue
        sequences = set(inspector.get_sequence_names(schema=schema))
        for metadata in metadatas(context.metadata):
            for place in sorted(metadata.tables.values(), key=lambda table: table.fullname):
                is_here = schema == (None if place.schema == default and None in schemas else place.schema)
                records = _records(place)
                if not is_here or not records or not _wanted(context, place):
                    continue
                for column in place.primary_key.columns:
                    sequence = sequence_of(column)
                    if sequence is None or sequence.name not in sequences:
                        continue
                    if is_behind(connection, sequence.name, records, schema):
                        yield MoveLegacyIds(sequence.name, place.name, column.name, records, schema=schema)


def _with_server_default_only(item: SchemaItem) -> SchemaItem:
    """Return a column with a sequence as it is in the database.

    Revisions do not contain client-side defaults. Without this, PostgreSQL's ``autoincrement=True`` means SERIAL, which
    has a sequence of its own.
    """
    if not isinstance(item, Column):
        return item
    column: Column[Any] = item  # pyright: ignore[reportUnknownVariableType]
    if sequence_of(column) is None or column.server_default is None:
        return column
    return Column(
        column.name,
        column.type,
        primary_key=column.primary_key,
        nullable=column.nullable,
        server_default=getattr(column.server_default, "arg", None),
        comment=column.comment,
    )


def _wanted(context: AutogenContext, table: Table) -> bool:
    return context.run_object_filters(table, table.name, "table", False, None)


def _records(table: Table) -> list[str]:
    """Return the names of all records that share ``table``."""
    mappers = Catalog.of(table.metadata).all_mappers()
    return sorted({record_name(mapper) for mapper in mappers if mapper.local_table is table})


def _backfills(
    context: AutogenContext, all_declared: Collection[Declared], upgrade_ops: UpgradeOps
) -> Iterator[Backfill | RetireBackfill]:
    filled = _filled(context)
    for one in all_declared:
        assert context.connection is not None
        missing = set(missing_columns(context.connection, {one.table_of(name) for name in one.fingerprints}))

        def is_filled(name: str, one: Declared = one, missing: set[str] = missing) -> bool:
            row = one.row(filled, name)
            is_done = row is not None and row.phase == DONE and one.is_current(name, row.fingerprint)
            # a column may have been dropped, and declared again
            column = one.column_of(name)
            return is_done and f"{column.table}.{column.name}" not in missing

        # a value is another one if the column that it is computed from is converted, or gets its default
        added = added_to_derived_rows(one, upgrade_ops)
        converted = reading(one.plan, altered_columns(one.metadata, upgrade_ops)).union(added)
        again = {name: one.fingerprints[name] for name in sorted(converted) if is_filled(name)}
        if again:
            yield RetireBackfill(list(again), again)

        def is_pending(
            name: str, table: Table, is_filled: Callable[[str], bool] = is_filled, converted: set[str] = converted
        ) -> bool:
            return _wanted(context, table) and (name in converted or not is_filled(name))

        pending = {name for name, value in one.values.items() if is_pending(name, value.table)}
        values = with_dependents(one.plan, pending)
        names = [value.name for value in values]
        # rows are derived after the values that they depend on
        for name, derivation in one.derivations.items():
            table: Any = one.column_of(name).table
            if is_pending(name, table) or (_wanted(context, table) and reads_any(derivation, values)):
                names.append(name)
        for name in names:
            row = one.row(filled, name)
            previous = {} if row is None else {name: row.fingerprint}
            value = one.values.get(name)
            columns = added.get(name, []) if value is None else [value.column, *value.running]
            # a dictionary has its row from the beginning
            rows_of = None if one.is_dictionary(name) else one.table_of(name)
            fingerprint = one.fingerprints[name]
            yield Backfill(
                {name: fingerprint},
                previous=previous,
                columns=columns,
                rows_of=rows_of,
                without_models=[partial(_without_models, one, name, fingerprint)],
            )


def _without_models(declared: Declared, name: str, kind: str) -> WithoutModels:
    column = declared.default(name) if kind == DEFAULT else None
    table: Any = declared.table_of(name) if column is None else column.table
    place = table.name if table.schema is None else (table.schema, table.name)
    return WithoutModels(name, value_sql(declared, name, kind), place)


def _without_models_default(metadata: MetaData, name: str) -> WithoutModels:
    return _without_models(Declared(metadata), name, DEFAULT)


def _retirements(context: AutogenContext, all_declared: Collection[Declared]) -> Iterator[RetireBackfill]:
    """Find values that were computed but are not declared any more, and therefore not maintained.

    Their tables may still exist: values that are declared again have to be filled again. Names of records that are not
    in these MetaData may belong to another program that migrates the same database.
    """
    records: set[str] = set()
    declared: set[str] = set()
    for one in all_declared:
        declared.update(one.fingerprints, one.places.values())
        records.update(record_name(mapper) for mapper in Catalog.of(one.metadata).all_mappers())
        records.update(table.fullname for table in one.metadata.tables.values())
    retired = {
        name: row.fingerprint
        for name, row in sorted(_filled(context).items())
        if name not in declared and row.fingerprint != DEFAULT
    }
    unknown = [name for name in retired if records.isdisjoint((name.partition(".")[0], name.rpartition(".")[0]))]
    if unknown and _is_shared(context):
        retired = {name: said for name, said in retired.items() if name not in unknown}
        log.warning(
            "%s: filled once, and not declared here. If that was not another program, and they are declared again, run "
            "system.repair()",
            ", ".join(unknown),
        )
    if retired:
        yield RetireBackfill(list(retired), retired)


def _is_shared(context: AutogenContext) -> bool:
    """Whether another program, with its own version table, migrates the database."""
    own = {table.name for metadata in metadatas(context.metadata) for table in metadata.tables.values()}
    own.add(context.migration_context.version_table)
    others = [name for name in context.inspector.get_table_names() if name not in own]
    found = context.inspector.get_multi_columns(filter_names=others) if others else {}
    return any([column["name"] for column in columns] == ["version_num"] for columns in found.values())


def _filled(context: AutogenContext) -> dict[str, Row]:
    """Return the recorded states of back-fills, by the name of the value."""
    targets = metadatas(context.metadata)
    if not targets or context.connection is None:
        return {}
    state = state_table(targets[0])
    if not context.inspector.has_table(STATE_TABLE, schema=state.schema):
        return {}
    return read_state(context.connection, state)
