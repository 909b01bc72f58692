"""Find tables of interaqt by ``_rowId``, and by columns such as ``use_nam_1``.

interaqt names a table after its record, and a column by three letters of the record, three of the attribute and a
number that is unique across all tables. The number of an attribute is not recorded, but the columns of one prefix are
in the order of their definition.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.operations import MigrateOperation
from alembic.operations.ops import UpgradeOps
from alembic.util import CommandError, DispatchPriority, PriorityDispatchResult
from sqlalchemy import JSON, Boolean, Date, DateTime, MetaData, String, Table
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..definitions.records import Relation
from ..schema.metadata_state import Catalog
from ..schema.naming import fit_identifier, snake_case
from .backfill_state import metadatas
from .default_backfill import defined_tables
from .legacy_table_operation import ROW_ID, AdoptTable
from .operations import CheckRows, CheckUnique, LockLegacyIds

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin

log = logging.getLogger("alembic.interaqt_sa")


@dataclass(frozen=True)
class Attribute:
    """An attribute that interaqt stored in a column.

    :ivar prefix: the prefix of the name of its column.
    :ivar column: the new name of the column; ``None`` if it is not declared.
    """

    prefix: str
    column: str | None
    family: str
    is_property: bool = False


@dataclass
class LegacyTable:
    """A table of the database.

    :ivar columns: the type families of its columns by name.
    """

    name: str
    schema: str | None
    columns: dict[str, str] = field(default_factory=dict[str, str])

    def of_prefix(self, prefix: str) -> list[str]:
        """Return the columns with this prefix, in the order of their numbers."""
        found = [(int(match[1]), name) for name in self.columns if (match := re.fullmatch(rf"{prefix}_(\d+)", name))]
        return [name for _, name in sorted(found)]


def setup(plugin: Plugin) -> None:
    """Add the comparator of this module to ``plugin``, after all others, because it may replace their operations."""
    plugin.add_autogenerate_comparator(
        adopt_legacy_tables, "schema", "interaqt_legacy_tables", priority=DispatchPriority.LAST
    )


def adopt_legacy_tables(
    context: AutogenContext, upgrade_ops: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    """If there are tables of interaqt, adopt them in this revision, without any other operation.

    The other declarations can be compared with these tables after they have been renamed.
    """
    found = [op for metadata in metadatas(context.metadata) for op in _adoptions(context, metadata, schemas)]
    if not found:
        return PriorityDispatchResult.CONTINUE
    locks = [LockLegacyIds(schema=schema) for schema in sorted({op.schema for op in found}, key=str)]
    checks = [check for op in found for check in _checks(context, op)]
    operations: list[MigrateOperation] = [*locks, *checks, *found]
    upgrade_ops.ops[:] = operations
    log.warning(
        "%s: tables of interaqt. This revision renames tables and columns to the declared names; read it, upgrade, "
        "then run autogenerate again for all other changes. Stop the programs that use the tables first",
        ", ".join(op.legacy for op in found),
    )
    return PriorityDispatchResult.CONTINUE


def _adoptions(context: AutogenContext, metadata: MetaData, schemas: set[str | None]) -> Iterator[AdoptTable]:
    catalog = Catalog.of(metadata)
    for table, record in defined_tables(metadata).items():
        schema = None if table.schema == context.inspector.default_schema_name else table.schema
        if schema not in schemas or record not in catalog.definitions:
            continue
        names = set(context.inspector.get_table_names(schema=schema))
        legacy = _legacy_table(context, table, record, schema, names)
        if legacy is not None:
            known = {str(column.name) for column in table.columns}
            renamed = _mapping(context, catalog, table, record, legacy)
            if "id" not in renamed.values() and "id" not in legacy.columns:
                raise CommandError(f"{legacy.name}: no column is the id of {record}; {_way_out(legacy)}")
            taken = {new for new in renamed.values() if new in legacy.columns}
            if taken - known:  # pragma: no cover  the names of this package and of interaqt differ
                raise CommandError(f"{legacy.name}: columns {sorted(taken)} exist twice; {_way_out(legacy)}")
            yield AdoptTable(legacy.name, table.name, renamed, schema=schema)
        elif table.name in names:
            key = context.inspector.get_pk_constraint(table.name, schema=schema)["constrained_columns"]
            columns = {column["name"] for column in context.inspector.get_columns(table.name, schema=schema)}
            if not key and "id" in columns:
                yield AdoptTable(table.name, table.name, {}, schema=schema)
        else:
            _refuse_shared_rows(context, catalog, record, schema, names)


def _legacy_table(
    context: AutogenContext, table: Table, record: str, schema: str | None, names: set[str]
) -> LegacyTable | None:
    for name in (record, table.name):
        if name in names and (name == table.name or table.name not in names):
            found = _reflected(context, name, schema)
            if ROW_ID in found.columns:
                return found
    return None


def _reflected(context: AutogenContext, name: str, schema: str | None) -> LegacyTable:
    columns = context.inspector.get_columns(name, schema=schema)
    return LegacyTable(name, schema, {column["name"]: _family(context, column["type"]) for column in columns})


def _mapping(
    context: AutogenContext, catalog: Catalog, table: Table, record: str, legacy: LegacyTable
) -> dict[str, str]:
    """Return the new names of columns by the old ones."""
    groups: dict[str, list[Attribute]] = {}
    for attribute in _attributes(context, catalog, table, record):
        # columns that have their declared name already are kept
        if attribute.column is None or attribute.column not in legacy.columns:
            groups.setdefault(attribute.prefix, []).append(attribute)
    declared = {str(column.name) for column in table.columns}
    renamed: dict[str, str] = {}
    for prefix, attributes in groups.items():
        columns = [name for name in legacy.of_prefix(prefix) if name not in declared]
        for family in dict.fromkeys(attribute.family for attribute in attributes):
            alike = [attribute for attribute in attributes if attribute.family == family]
            held = [name for name in columns if legacy.columns[name] == family]
            if not held:
                continue  # a new property
            if len(held) != len(alike):
                told = ", ".join(str(attribute.column) for attribute in alike)
                raise CommandError(f"{legacy.name}: {', '.join(held)} may be any of {told}; {_way_out(legacy)}")
            if sum(attribute.is_property for attribute in alike) > 1:
                log.warning("%s: %s are matched in the order of the definition; verify them", record, ", ".join(held))
            renamed |= {
                old: attribute.column
                for old, attribute in zip(held, alike, strict=True)
                if attribute.column is not None
            }
    return renamed


def _attributes(context: AutogenContext, catalog: Catalog, table: Table, record: str) -> Iterator[Attribute]:
    """Yield the attributes that interaqt stored in the table of a record, in its order."""
    definition = catalog.definitions[record]
    for prop in definition.properties:
        name = prop.column_name or snake_case(prop.name)
        if name in table.columns:
            yield Attribute(
                _prefix(f"{record}_{prop.name}"), name, _family(context, table.columns[name].type), is_property=True
            )
    number = _family(context, table.columns["id"].type)
    yield Attribute(_prefix(f"{record}_id"), "id", number)
    held = [relation for relation in _relations(catalog) if relation.type != "n:n" and _holder(relation)[0] == record]
    for relation in held:
        yield Attribute(_prefix(f"{relation.name}_id"), None, number)
    for relation in held:
        attribute = _holder(relation)[1]
        column = fit_identifier(f"{snake_case(attribute)}_id")
        if column in table.columns:
            yield Attribute(_prefix(f"{record}_{attribute}"), column, number)
    if isinstance(definition, Relation):
        for side in ("source", "target"):
            yield Attribute(_prefix(f"{record}_{side}"), f"{side}_id", number)


def _relations(catalog: Catalog) -> list[Relation]:
    return [definition for definition in catalog.definitions.values() if isinstance(definition, Relation)]


def _holder(relation: Relation) -> tuple[str, str]:
    """Return the record whose rows stored an x:1 relation, and its attribute."""
    if relation.type == "1:n":
        return _name(relation.target), relation.target_property
    return _name(relation.source), relation.source_property


def _name(end: Any) -> str:
    return end if isinstance(end, str) else str(getattr(end, "name", getattr(end, "__name__", end)))


def _prefix(name: str) -> str:
    parts = name.split("_")
    return "_".join(part[:3].lower() for part in parts[:2]) if len(parts) > 1 else name[:6].lower()


def _refuse_shared_rows(
    context: AutogenContext, catalog: Catalog, record: str, schema: str | None, names: Sequence[str] | set[str]
) -> None:
    """Refuse records whose rows interaqt stored in those of another record, but that have a table of their own here."""
    definition = catalog.definitions[record]
    prefix, where = _prefix(f"{record}_id"), [name for name in names if record in name.split("_")]
    if isinstance(definition, Relation):
        where = [holder for holder in {_holder(definition)[0]} & set(names) if definition.type != "n:n"]
    for name in sorted(where):
        legacy = _reflected(context, name, schema)
        if ROW_ID in legacy.columns and (held := legacy.of_prefix(prefix)):
            raise CommandError(
                f"{record}: interaqt stored its rows in those of {name!r} ({', '.join(held)}), but it has a table of "
                f"its own now. Write a revision that creates it, with CREATE TABLE … AS SELECT … FROM {name!r}, a "
                "column id and the declared names, then run autogenerate again"
            )


def _checks(context: AutogenContext, op: AdoptTable) -> Iterator[CheckRows | CheckUnique]:
    """Yield the checks for rows that cannot have ``id`` as their key."""
    key = next((old for old, new in op.columns.items() if new == "id"), "id")
    quoted = context.dialect.identifier_preparer.quote(key)
    yield CheckRows(f"the primary key of {op.legacy}", op.legacy, f"{quoted} IS NULL", schema=op.schema)
    yield CheckUnique(f"the primary key of {op.legacy}", op.legacy, [key], schema=op.schema)


def _family(context: AutogenContext, type_: TypeEngine[Any]) -> str:
    """Return the family of interaqt's column type for a type; on SQLite most are numbers."""
    kind: TypeEngine[Any] = type_
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(context.dialect)
    if isinstance(kind, JSON):
        return "json"
    if isinstance(kind, String):
        return "text"
    if context.dialect.name == "postgresql":
        if isinstance(kind, Boolean):
            return "boolean"
        if isinstance(kind, (Date, DateTime)):
            return "time"
    return "number"


def _way_out(legacy: LegacyTable) -> str:
    shown = ", ".join(name for name in legacy.columns if name != ROW_ID)
    return f"specify it with Property(column_name=…), or rename columns in an earlier revision; there are {shown}"
