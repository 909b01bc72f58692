"""Defaults of properties for rows that existed before the property."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from alembic.operations.ops import AddColumnOp, AlterColumnOp, ModifyTableOps, UpgradeOps
from sqlalchemy import (
    Column,
    ColumnDefault,
    Connection,
    MetaData,
    Table,
    bindparam,
    inspect,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Mapper

from ..dialects.execution_options import ENGINE_OPTIONS
from ..schema.metadata_state import Catalog

#: the fingerprint of a back-fill that writes the default of a property
DEFAULT = "default"


def defined_tables(metadata: MetaData) -> Mapping[Table, str]:
    """Return the tables of definitions, with the names of their records."""
    found: dict[Table, str] = {}
    for name, cls in Catalog.of(metadata).classes.items():
        mapper: Mapper[Any] = inspect(cls)
        table: Any = mapper.local_table
        if isinstance(table, Table):
            found[table] = name
    return found


def added_defaults(metadata: MetaData, upgrade_ops: UpgradeOps) -> Iterator[tuple[str, Column[Any]]]:
    """Yield name and column of the properties with a default that ``upgrade_ops`` adds or makes NOT NULL."""
    tables = {(table.schema, table.name): (table, record) for table, record in defined_tables(metadata).items()}
    for container in upgrade_ops.ops:
        if not isinstance(container, ModifyTableOps) or (container.schema, container.table_name) not in tables:
            continue
        table, record = tables[container.schema, container.table_name]
        for operation in container.ops:
            match operation:
                case AddColumnOp(column=Column(name=name)) | AlterColumnOp(column_name=name, modify_nullable=False):
                    column = table.columns[name]
                    if isinstance(column.default, ColumnDefault):
                        yield f"{record}.{column.name}", column
                case _:
                    pass


def defaulted_column(metadata: MetaData, name: str) -> Column[Any] | None:
    """Return the column that :func:`added_defaults` yielded for ``name``, if it still exists and has a default."""
    for table, record in defined_tables(metadata).items():
        for column in table.columns:
            if name == f"{record}.{column.name}" and isinstance(column.default, ColumnDefault):
                return column
    return None


def fill_default(
    column: Column[Any], connection: Connection, after: tuple[Any, ...] | None, limit: int
) -> tuple[Any, ...] | None:
    """Write the default into the next ``limit`` rows without a value; return the last key, ``None`` at the end."""
    table = column.table
    key = tuple(table.primary_key.columns)
    rows = select(*key).where(column.is_(None)).order_by(*key).limit(limit).with_for_update()
    if after is not None:
        rows = rows.where(tuple_(*key) > tuple_(*after))
    found = [tuple(row) for row in connection.execute(rows)]
    if not found:
        return None
    default = column.default
    assert isinstance(default, ColumnDefault)
    if not default.is_callable:
        fill_column(connection, column, default.arg, after, found[-1])
        return found[-1]
    statement = (
        update(table)
        .where(*(part == bindparam(f"key_{place}", type_=part.type) for place, part in enumerate(key)))
        .values({column: bindparam("filled", type_=column.type)})
    )
    parameters = [
        {"filled": _value(column), **{f"key_{place}": part for place, part in enumerate(row)}} for row in found
    ]
    connection.execute(statement, parameters, execution_options=ENGINE_OPTIONS)
    return found[-1]


def fill_column(
    connection: Connection, column: Column[Any], value: Any, after: tuple[Any, ...] | None, last: tuple[Any, ...]
) -> None:
    """Write ``value`` into the rows without a value between two keys."""
    table = column.table
    key = tuple(table.primary_key.columns)
    statement = update(table).where(column.is_(None), tuple_(*key) <= tuple_(*last))
    if after is not None:
        statement = statement.where(tuple_(*key) > tuple_(*after))
    # assigning a column to itself suppresses its onupdate
    kept = {c: c for c in table.columns if c.onupdate is not None}
    values: dict[Any, Any] = {**kept, column: literal(value, column.type)}
    connection.execute(statement.values(values), execution_options=ENGINE_OPTIONS)


def _value(column: Column[Any]) -> Any:
    default = column.default
    assert isinstance(default, ColumnDefault)
    return default.arg(None) if default.is_callable else default.arg
