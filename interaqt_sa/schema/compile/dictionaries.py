"""Tables of dictionaries: one with a single row for each, so that each value has its own type and row lock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, Table, event, select
from sqlalchemy.orm import Mapper, class_mapper

from ...definitions.computation import INFO_KEY, info_of
from ...definitions.dictionary import Dictionary
from ...definitions.short_repr import shorten
from ...dialects.execution_options import ENGINE_OPTIONS
from ...errors import DefinitionFault
from ..metadata_state import Catalog
from ..naming import fit_identifier, snake_case

#: Key of ``Table.info``: name of the dictionary whose value the table holds.
DICTIONARY_KEY = f"{INFO_KEY}.dictionary"
#: The key of the single row.
ROW_ID = 1


def dictionary_table_name(dictionary: Dictionary) -> str:
    """Return the name of the table of ``dictionary``."""
    return fit_identifier(f"dictionary_{snake_case(dictionary.name)}")


def build_dictionary(dictionary: Dictionary, value: Column[Any], metadata: MetaData) -> Table:
    """Add the table of ``dictionary`` to ``metadata``; creating it in a database also inserts its row."""
    table = Table(
        dictionary_table_name(dictionary),
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False, default=ROW_ID),
        value,
        info={DICTIONARY_KEY: dictionary.name},
    )
    event.listen(table, "after_create", _write_row)
    return table


def _write_row(table: Table, connection: Connection, **_: Any) -> None:
    connection.execute(table.insert().values(id=ROW_ID), execution_options=ENGINE_OPTIONS)


def write_missing_rows(connection: Connection, metadata: MetaData) -> list[str]:
    """Insert the missing rows of dictionaries, with their defaults; idempotent.

    ``create_all`` inserts the row of each table that it creates; this is for tables created by a migration.

    :return: names of the dictionaries whose row was missing.
    """
    missing: list[str] = []
    for table in sorted(metadata.tables.values(), key=lambda table: table.fullname):
        name = info_of(table).get(DICTIONARY_KEY)
        if name is not None and connection.scalar(select(table.c.id)) is None:
            _write_row(table, connection)
            missing.append(name)
    return missing


def dictionary_mapper(metadata: MetaData, ref: str | Dictionary) -> Mapper[Any]:
    """Return the mapper of a dictionary, whose single row has the attribute ``value``.

    :raises DefinitionFault: if there is no such dictionary.
    """
    name: Any = ref.name if isinstance(ref, Dictionary) else ref
    catalog = Catalog.of(metadata)
    if not isinstance(name, str) or name not in catalog.dictionaries:
        known = ", ".join(sorted(catalog.dictionaries)) or "none"
        raise DefinitionFault(f"there is no dictionary {shorten(name)}; declared are: {known}")
    return class_mapper(catalog.dictionary_classes[name], configure=False)
