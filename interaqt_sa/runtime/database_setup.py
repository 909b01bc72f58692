"""Create or verify the tables of a controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, inspect

from ..definitions.computation import info_of
from ..schema.compile.dictionaries import DICTIONARY_KEY, dictionary_mapper, write_missing_rows
from ..schema.schema_inspection import Schema
from .verification import check_computations, connection_of, verify

if TYPE_CHECKING:
    from .system import System


def set_up(system: System, *, install: bool) -> None:
    """Verify the database of ``system``; with ``install``, create missing tables first.

    Existing tables are not changed; that is done by Alembic.
    """
    check_computations(system.metadata)
    with connection_of(system.session_factory) as connection:
        new = _install(connection, system.metadata) if install else []
        verify(connection, system.metadata)
    for name in new:
        system.repair(dictionary_mapper(system.metadata, name))


def _install(connection: Connection, metadata: MetaData) -> list[str]:
    """Create missing tables and rows; return the computed dictionaries with a new row, to be recomputed."""
    known = set(inspect(connection).get_table_names())
    metadata.create_all(connection, checkfirst=True)
    written = write_missing_rows(connection, metadata)
    return [
        info.record
        for info in Schema.of(metadata).computations
        if DICTIONARY_KEY in info_of(metadata.tables[info.table])
        and (info.table not in known or info.record in written)
    ]
