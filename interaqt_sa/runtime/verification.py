"""Verify that the database has all declared tables, columns, sequences and unique constraints."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from collections.abc import Sequence as SequenceOf
from contextlib import contextmanager, nullcontext

from sqlalchemy import Connection, Engine, Inspector, MetaData, Sequence, Table, inspect
from sqlalchemy.orm import Session

from ..definitions.event_source import EventSource
from ..engine.engine import plan_of
from ..errors import ConstraintSetupError, DefinitionError, DefinitionFault
from ..schema.metadata_state import Catalog
from ..schema.schema_inspection import ConstraintInfo, Schema
from .missing_indexes import tell_missing_indexes


@contextmanager
def connection_of(session_factory: Callable[[], Session]) -> Generator[Connection]:
    """Open a connection to the database of a factory, in a transaction.

    It does not belong to a session, whose connections refuse unmanaged writes.
    """
    with session_factory() as session:
        bind = session.get_bind()
    with bind.begin() if isinstance(bind, Engine) else nullcontext(bind) as connection:
        yield connection


def check_computations(metadata: MetaData) -> None:
    """Check all computations, before any SQL.

    :raises DefinitionError: with all faults.
    """
    sources = Catalog.of(metadata).event_sources
    faults = [
        DefinitionFault(
            f"{name}: a trigger waits for {trigger.record_name!r}, which is not an event source of a controller; "
            f"give {trigger.record_name!r} to event_sources",
            record=info.record,
            property=info.property,
        )
        for info in Schema.of(metadata).computations
        for name in [info.record if info.property is None else f"{info.record}.{info.property}"]
        for trigger in info.computation.references().triggers
        if isinstance(trigger.record_name, EventSource) and trigger.record_name.name not in sources
    ]
    told = {str(fault).rpartition("; ")[2] for fault in faults}
    try:
        plan_of(metadata)
    except DefinitionError as error:
        # without the event source its entity may be missing too
        faults += [f for f in error.context["faults"] if not any(way_out in str(f) for way_out in told)]
    if faults:
        raise DefinitionError("the declarations cannot be compiled", faults)


def verify(connection: Connection, metadata: MetaData) -> None:
    """Verify that the database has the tables, columns, sequences and unique constraints of ``metadata``.

    :raises DefinitionError: with all missing tables, columns and sequences.
    :raises ConstraintSetupError: if a declared unique constraint is missing.
    """
    inspector = inspect(connection)
    faults: list[DefinitionFault] = []
    for table in metadata.sorted_tables:
        schema = connection.schema_for_object(table)
        if not inspector.has_table(table.name, schema):
            faults.append(DefinitionFault(f"table {table.fullname!r} is missing", record=table.name))
            continue
        found = {column["name"] for column in inspector.get_columns(table.name, schema)}
        faults += [
            DefinitionFault(
                f"column {table.fullname}.{column.name} is missing", record=table.name, property=column.name
            )
            for column in table.columns
            if column.name not in found
        ]
    if connection.dialect.supports_sequences:
        faults += [
            DefinitionFault(f"sequence {sequence.name!r} of table {name!r} is missing", record=name)
            for name, sequence in _sequences(metadata)
            if not inspector.has_sequence(sequence.name, connection.schema_for_object(sequence))
        ]
    if faults:
        raise DefinitionError(
            "the database differs from the declared tables; migrate it with Alembic, or, if it is new, create its "
            "tables with setup(install=True) or MetaData.create_all()",
            faults,
        )
    tell_missing_indexes(connection, metadata, inspector)
    by_name = {table.fullname: table for table in metadata.sorted_tables}
    for constraint in Schema.of(metadata).constraints:
        if constraint.kind == "unique" and not _exists(constraint, by_name[constraint.table], connection, inspector):
            raise ConstraintSetupError(
                f"unique constraint {constraint.physical_name or constraint.columns!r} of table {constraint.table!r} "
                "is missing; migrate the database with Alembic",
                constraint=constraint.name,
                record=constraint.record,
                properties=constraint.properties,
                physical_name=constraint.physical_name,
                table=constraint.table,
            )


def _sequences(metadata: MetaData) -> Iterator[tuple[str, Sequence]]:
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.default, Sequence):
                yield table.fullname, column.default


def _exists(constraint: ConstraintInfo, table: Table, connection: Connection, inspector: Inspector) -> bool:
    schema = connection.schema_for_object(table)
    found: list[tuple[str | None, SequenceOf[str | None]]] = [
        *((unique["name"], unique["column_names"]) for unique in inspector.get_unique_constraints(table.name, schema)),
        *((i["name"], i["column_names"]) for i in inspector.get_indexes(table.name, schema) if i["unique"]),
    ]
    if constraint.physical_name is not None:
        # the inspector returns names as stored by the database, truncated at its own limit
        limit = connection.dialect.max_identifier_length
        if len(constraint.physical_name) <= limit:
            return any(name == constraint.physical_name for name, _ in found)
    return any(set(columns) == set(constraint.columns) for _, columns in found)
