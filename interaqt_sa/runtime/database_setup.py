"""What a controller needs to find in the database: created once, or verified."""

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
    """Verify the database of ``system``, and before that create what is missing if ``install`` says so.

    What exists is not changed: that is Alembic's work.
    """
    check_computations(system.metadata)
    with connection_of(system.session_factory) as connection:
        new = _install(connection, system.metadata) if install else []
        verify(connection, system.metadata)
    for name in new:
        system.repair(dictionary_mapper(system.metadata, name))


def _install(connection: Connection, metadata: MetaData) -> list[str]:
    """Create what is missing; return the dictionaries with a new row, whose value is computed from what may exist."""
    known = set(inspect(connection).get_table_names())
    metadata.create_all(connection, checkfirst=True)
    written = write_missing_rows(connection, metadata)
    return [
        info.record
        for info in Schema.of(metadata).computations
        if DICTIONARY_KEY in info_of(metadata.tables[info.table])
        and (info.table not in known or info.record in written)
    ]
