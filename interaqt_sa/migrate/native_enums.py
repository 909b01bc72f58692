"""Native enumerated types, which Alembic neither creates for a new column nor compares."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import DropColumnOp, DropTableOp, ModifyTableOps, UpgradeOps
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import ARRAY, Connection, Dialect, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.base import PGInspector
from sqlalchemy.types import TypeDecorator, TypeEngine

from .backfill_state import metadatas
from .enum_operations import AddEnumLabel, CreateEnum, DropEnum

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin

log = logging.getLogger("alembic.interaqt_sa")

_Name = tuple[str | None, str]

_USERS = text(
    "SELECT CASE WHEN tn.nspname <> current_schema() THEN tn.nspname END, t.typname,"
    " CASE WHEN cn.nspname <> current_schema() THEN cn.nspname END, c.relname, a.attname"
    " FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS tn ON tn.oid = t.typnamespace"
    " JOIN pg_catalog.pg_attribute AS a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped"
    " JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid AND c.relkind <> 'i'"
    " JOIN pg_catalog.pg_namespace AS cn ON cn.oid = c.relnamespace WHERE t.typtype = 'e'"
)


def setup(plugin: Plugin) -> None:
    """Add the comparator of this module to ``plugin``."""
    plugin.add_autogenerate_comparator(compare_enums, "schema", "interaqt_enums", priority=DispatchPriority.LAST)


def is_array(type_: Any) -> bool:
    """Whether ``type_`` is an array type."""
    return isinstance(type_, ARRAY)


def native_enum(type_: TypeEngine[Any], dialect: Dialect) -> postgresql.ENUM | None:
    """Return the native enumerated type of ``type_`` in the database, or of the items of an array type."""
    if dialect.name != "postgresql":
        return None
    stored: Any = type_.dialect_impl(dialect)
    while isinstance(stored, TypeDecorator):
        stored = stored.type_engine(dialect)
    if is_array(stored):
        return native_enum(stored.item_type, dialect)
    return stored if isinstance(stored, postgresql.ENUM) else None


def compare_enums(context: AutogenContext, upgrade_ops: UpgradeOps, schemas: set[str | None]) -> PriorityDispatchResult:
    """Find missing types and labels, and types that are not used any more."""
    if not isinstance(context.inspector, PGInspector):
        return PriorityDispatchResult.CONTINUE
    assert context.connection is not None
    default = context.inspector.default_schema_name
    declared = {(None if schema == default else schema, name): labels for (schema, name), labels in _declared(context)}
    found = {
        (None if enum["schema"] == default else enum["schema"], enum["name"]): tuple(enum["labels"])
        for enum in context.inspector.get_enums("*")
    }
    first: list[Any] = []
    for (schema, name), labels in declared.items():
        if (schema, name) not in found:
            first.append(CreateEnum(name, labels, schema=schema))
        else:
            first += _labels(name, schema, labels, found[schema, name])
    # adding labels commits the earlier operations
    first.sort(key=lambda operation: isinstance(operation, CreateEnum))
    upgrade_ops.ops[:0] = first
    for schema, name in _released(context.connection, upgrade_ops, default):
        if (schema, name) not in declared and (schema, name) in found:
            upgrade_ops.ops.append(DropEnum(name, found[schema, name], schema=schema))
    return PriorityDispatchResult.CONTINUE


def _declared(context: AutogenContext) -> Iterator[tuple[_Name, tuple[str, ...]]]:
    for metadata in metadatas(context.metadata):
        for table in metadata.sorted_tables:
            for column in table.columns:
                enum: Any = native_enum(column.type, context.dialect)
                if enum is None or enum.name is None:
                    continue
                if context.run_object_filters(table, table.name, "table", False, None):
                    yield (enum.schema, str(enum.name)), tuple(map(str, enum.enums))


def _labels(name: str, schema: str | None, declared: tuple[str, ...], found: tuple[str, ...]) -> Iterator[AddEnumLabel]:
    there = {*found}
    # from the last to the first: each is placed before one that exists by then
    following: str | None = None
    missing: list[AddEnumLabel] = []
    for label in reversed(declared):
        if label not in there:
            missing.append(AddEnumLabel(name, label, before=following, schema=schema))
        following = label
    yield from missing
    if gone := [label for label in found if label not in declared]:
        log.warning("Kept: labels of the type %s that no model declares any more: %s", name, ", ".join(gone))


def _released(connection: Connection, upgrade_ops: UpgradeOps, default: str | None) -> list[_Name]:
    """Return the types whose last columns are dropped."""
    tables: set[_Name] = set()
    columns: set[tuple[str | None, str, str]] = set()
    for operation in upgrade_ops.ops:
        if isinstance(operation, DropTableOp):
            tables.add((operation.schema, operation.table_name))
        elif isinstance(operation, ModifyTableOps):
            columns.update(
                (one.schema, one.table_name, one.column_name) for one in operation.ops if isinstance(one, DropColumnOp)
            )
    if not tables and not columns:
        return []
    users: dict[_Name, list[bool]] = {}
    for schema, name, table_schema, table, column in connection.execute(_USERS):
        goes = any(
            (where, table) in tables or (where, table, column) in columns
            for where in ({None, default} if table_schema is None else {table_schema})
        )
        users.setdefault((schema, name), []).append(goes)
    return [name for name, go in users.items() if all(go)]


def render_enum(enum: postgresql.ENUM) -> str:
    """Return the source of a type that is created by an operation of its own."""
    found: Any = enum
    options: Mapping[str, Any] = {"name": found.name, "schema": found.schema}
    shown = [*(repr(str(label)) for label in enum.enums)]
    shown += [f"{key}={str(value)!r}" for key, value in options.items() if value is not None]
    return f"postgresql.ENUM({', '.join(shown)}, create_type=False)"
