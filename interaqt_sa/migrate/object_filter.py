"""Existing objects that autogenerate does not drop although no model declares them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import AlterColumnOp, ModifyTableOps, UpgradeOps
from alembic.util import DispatchPriority, PriorityDispatchResult
from sqlalchemy import Column, Connection, MetaData, Table, text
from sqlalchemy.dialects.postgresql.base import PGDialect

from ..schema.compile.system_tables import is_system_table
from ..schema.computed import is_origin_column
from ..schema.metadata_state import Catalog
from .backfill_state import STATE_TABLE
from .default_backfill import defined_tables
from .legacy_id_counters import LEGACY_TABLE
from .legacy_table_operation import ROW_ID

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.runtime.plugins import Plugin

log = logging.getLogger("alembic.interaqt_sa")

#: option in which :func:`.configure` passes the filter to comparators
FILTER_OPTION = "interaqt_object_filter"

_PARTITIONS = text(
    "SELECT CASE WHEN n.nspname <> current_schema() THEN n.nspname END, c.relname"
    " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE c.relispartition AND c.relkind IN ('r', 'p')"
)


def setup(plugin: Plugin) -> None:
    """Add the comparators of this module to ``plugin``."""
    plugin.add_autogenerate_comparator(
        find_partitions, "schema", "interaqt_partitions", priority=DispatchPriority.FIRST
    )
    plugin.add_autogenerate_comparator(release_kept_columns, "table", "interaqt_kept")


class ObjectFilter:
    """``include_object`` of :func:`.configure`: the application's own filter, then this one.

    The application's filter is not asked about the tables of this package, which it may not know.

    Partitions of partitioned tables and a legacy table ``_IDS_`` are never dropped. Columns and tables with data of
    definitions are dropped only on approval, because a renamed property looks like a removed one. So are the columns
    with the origin of derived rows.

    :ivar partitions: (schema, name) of the partitions in the database; filled when autogenerate begins.
    """

    def __init__(self, targets: Sequence[MetaData], users_own: Callable[..., bool] | None, *, allow_drop: bool) -> None:
        self._targets = targets
        self._users_own = users_own
        self._allow_drop = allow_drop
        self._warned: set[str] = set()
        self._of_package: Collection[str] | None = None
        self.partitions: set[tuple[str | None, str]] = set()

    def __call__(self, item: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        users_own = None if self._is_of_package(item) else self._users_own
        if users_own is not None and not users_own(item, name, type_, reflected, compare_to):
            return False
        if not reflected or compare_to is not None:
            return True
        match type_:
            case "table":
                return self._may_drop_table(item)
            case "column":
                return not self.keeps(item)
            case "index":
                return not any(is_origin_column(column) and self.keeps(column) for column in item.columns)
            case _:
                return True

    def _is_of_package(self, item: Any) -> bool:
        """Whether ``item`` is a table of this package, or a part of one."""
        if self._of_package is None:  # asked for each column
            self._of_package = tables_of_package(self._targets)
        table: Any = getattr(item, "table", item)
        return isinstance(table, Table) and table.name in self._of_package

    def _may_drop_table(self, table: Table) -> bool:
        if table.name == LEGACY_TABLE or (table.schema, table.name) in self.partitions:
            return False
        if ROW_ID in table.columns and not self._allow_drop:
            return False  # a table of interaqt: declared ones are adopted, others are kept
        # the table of a removed definition cannot be distinguished from others
        keep = not self._allow_drop and any(Catalog.of(metadata).definitions for metadata in self._targets)
        return not (keep and self._kept(f"table {table.fullname}"))

    def keeps(self, column: Column[Any]) -> bool:
        """Whether a reflected column that is not declared is kept in the database."""
        if self._allow_drop:
            return False
        table = column.table
        # a Transform that is declared again finds the rows that it has derived by the columns of their origin
        tables = self._tables() if is_origin_column(column) else self._defined_tables()
        is_kept = any((one.schema, one.name) == (table.schema, table.name) for one in tables)
        return is_kept and self._kept(f"column {table.name}.{column.name}")

    def _tables(self) -> Iterator[Table]:
        for metadata in self._targets:
            yield from metadata.tables.values()

    def _defined_tables(self) -> Iterator[Table]:
        for metadata in self._targets:
            yield from defined_tables(metadata)

    def _kept(self, what: str) -> bool:
        if what not in self._warned:
            self._warned.add(what)
            log.warning("Kept: %s is not declared any more; drop it with -x allow-drop", what)
        return True


def tables_of_package(targets: Sequence[MetaData]) -> set[str]:
    """Return the names of the tables that this package adds to the MetaData of an application."""
    tables = (table for metadata in targets for table in metadata.tables.values())
    return {STATE_TABLE, *(table.name for table in tables if is_system_table(table))}


def find_partitions(
    context: AutogenContext, upgrade_ops: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    """Pass the partitions to the filter."""
    found = context.opts.get(FILTER_OPTION)
    if isinstance(found, ObjectFilter) and isinstance(context.dialect, PGDialect):
        assert context.connection is not None
        found.partitions = _partitions(context.connection)
    return PriorityDispatchResult.CONTINUE


def _partitions(connection: Connection) -> set[tuple[str | None, str]]:
    return {(schema, name) for schema, name in connection.execute(_PARTITIONS)}


def release_kept_columns(
    context: AutogenContext,
    modify_table_ops: ModifyTableOps,
    schema: str | None,
    table_name: str,
    conn_table: Table | None,
    metadata_table: Table | None,
) -> PriorityDispatchResult:
    """Make kept columns nullable, because inserts do not set them any more."""
    found = context.opts.get(FILTER_OPTION)
    if isinstance(found, ObjectFilter) and conn_table is not None and metadata_table is not None:
        declared = {column.name for column in metadata_table.columns}
        for column in conn_table.columns:
            has_value = column.server_default is not None or column.identity is not None or column.computed is not None
            required = not column.nullable and not has_value
            if column.name not in declared and required and found.keeps(column):
                modify_table_ops.ops.append(
                    AlterColumnOp(
                        table_name,
                        column.name,
                        schema=schema,
                        existing_type=column.type,
                        existing_nullable=False,
                        modify_nullable=True,
                    )
                )
    return PriorityDispatchResult.CONTINUE
