"""What a controller needs to find in the database: created once, or verified."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Inspector, MetaData, Sequence, Table, inspect

from ..definitions.computation import Computation, info_of
from ..definitions.event_source import EventSource
from ..definitions.events import Trigger
from ..definitions.state_machine import StateMachine
from ..definitions.transform import Transform
from ..engine.plan import Plan
from ..errors import ConstraintSetupError, DefinitionError, DefinitionFault
from ..schema.catalog import Catalog
from ..schema.dictionaries import DICTIONARY_KEY, dictionary_mapper, write_missing_rows
from ..schema.schema import ConstraintInfo, Schema

if TYPE_CHECKING:
    from .system import System


def set_up(system: System, *, install: bool) -> None:
    """Verify the database of ``system``, and before that create what is missing if ``install`` says so.

    What exists is not changed: that is Alembic's work.
    """
    _check_computations(system.metadata)
    with system.session_factory() as session:
        bind = session.get_bind()
    # not through the session: the engine watches over its connection, and refuses writes that it cannot follow
    with bind.begin() if isinstance(bind, Engine) else nullcontext(bind) as connection:
        new = _install(connection, system.metadata) if install else []
        verify(connection, system.metadata)
    for name in new:
        system.repair(dictionary_mapper(system.metadata, name))


def _check_computations(metadata: MetaData) -> None:
    """Find every fault of the declarations before anything is created."""
    sources = Catalog.of(metadata).event_sources
    faults = [
        DefinitionFault(
            f"{name}: a trigger waits for {trigger.record_name!r}, which nobody can dispatch here; "
            f"give {trigger.record_name!r} to event_sources",
            record=info.record,
            property=info.property,
        )
        for info in Schema.of(metadata).computations
        for name in [info.record if info.property is None else f"{info.record}.{info.property}"]
        for trigger in _triggers(info.computation)
        if isinstance(trigger.record_name, EventSource) and trigger.record_name.name not in sources
    ]
    told = {str(fault).rpartition("; ")[2] for fault in faults}
    try:
        Plan.of(metadata)
    except DefinitionError as error:
        # without the event source its record may be missing too
        faults += [f for f in error.context["faults"] if not any(way_out in str(f) for way_out in told)]
    if faults:
        raise DefinitionError("the declarations cannot be compiled", faults)


def _triggers(computation: Computation[Any]) -> Iterator[Trigger]:
    match computation:
        case StateMachine(transfers=transfers):
            yield from (transfer.trigger for transfer in transfers)
        case Transform(event_deps=dependencies):
            yield from (dependencies or {}).values()
        case _:
            pass


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


def verify(connection: Connection, metadata: MetaData) -> None:
    """Compare the database with ``metadata``, without changing it.

    :raises DefinitionError: with everything that is missing among tables, columns and sequences.
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
            "the database differs from what is declared; migrate it with Alembic, or, if it is new, create its tables "
            "with setup(install=True)",
            faults,
        )
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
        # the inspector answers with names as the database keeps them, cut at its own limit
        limit = connection.dialect.max_identifier_length
        if len(constraint.physical_name) <= limit:
            return any(name == constraint.physical_name for name, _ in found)
    return any(set(columns) == set(constraint.columns) for _, columns in found)
