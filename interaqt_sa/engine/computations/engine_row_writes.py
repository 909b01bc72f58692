"""Write rows for the engine itself: derived rows, and values that depend on events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, bindparam, delete, insert
from sqlalchemy.orm import Mapper, RelationshipDirection
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.elements import ClauseElement

from ...dialects import Lock
from ...dialects.base import named
from ...errors import ComputationError
from ..database.pending_deltas import Touched
from ..database.polymorphic_rows import read_attributes
from ..database.update_by_key import store_values
from ..plan import Key, Source
from ..propagation.explicit_ids import move_sequence
from ..propagation.propagation import Propagation
from ..propagation.statement_inserts import count_inserted
from ..propagation.write_bracket import Changed, NamedRows, Write, WriteBracket
from .initial_states import initial_value
from .row_numbers import RowNumbers, by_column

Values = Mapping[str, Any]
#: values of columns
Row = Mapping[Column[Any], Any]


def insert_rows(
    propagation: Propagation, source: Source, mapper: Mapper[Any], rows: Sequence[Values], hidden: Sequence[Values]
) -> None:
    """Insert rows of ``mapper``.

    :param rows: attributes, and x:1 relationships as mappings with the neighbour's key.
    :param hidden: for each row the values of hidden columns, by column key.
    :raises ComputationError: if a row has an unknown or computed attribute.
    """
    if not rows:
        return
    table = mapper.local_table
    assert isinstance(table, Table)
    plain = propagation.db.statements.cached(("plain attributes", mapper), lambda: _plain_attributes(mapper))
    values = [{**_values_of(mapper, row, plain), **more} for row, more in zip(rows, hidden, strict=True)]
    discriminator = mapper.polymorphic_on
    if isinstance(discriminator, Column) and mapper.polymorphic_identity is not None:
        values = [{discriminator.key: mapper.polymorphic_identity} | row for row in values]
    for machine in propagation.db.statements.plan.machines:
        if mapper.isa(machine.value.mapper) and machine.declaration.initial_state.compute_value is not None:
            name = machine.value.column.key
            values = [{name: initial_value(machine, dict(row))} | row for row in values]
    values = _numbered(propagation, table, mapper, values)
    columns = list(dict.fromkeys(propagation.db.statements.stored(mapper).values()))
    for names in dict.fromkeys(frozenset(row) for row in values):
        # one statement inserts rows with the same columns, so that the others get their defaults
        alike = [row for row in values if frozenset(row) == names]
        found = _inserted(propagation, source, table, columns, alike)
        count_inserted(propagation, source, (table,), columns, found)
        if propagation.mutations is not None and propagation.mutations.wanted(mapper):
            propagation.mutations.created(mapper, _stored(propagation, source, mapper, columns, found))


def _numbered(
    propagation: Propagation, table: Table, mapper: Mapper[Any], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return rows with the numbers of scoped sequences."""
    numbers = RowNumbers(propagation.db)
    if not numbers.of(table):
        return rows
    added = numbers.fill(table, by_column(table, rows), mapper)
    return [{**row, **{str(c.key): one for c, one in more.items()}} for row, more in zip(rows, added, strict=True)]


def _inserted(
    propagation: Propagation,
    source: Source,
    table: Table,
    columns: Sequence[ColumnElement[Any]],
    rows: Sequence[Mapping[str, Any]],
) -> list[tuple[Any, ...]]:
    """Insert rows with the same columns; return ``columns`` of them."""
    names = tuple(rows[0])
    if (key := propagation.db.statements.plan.sequences.get(table.key)) in rows[0]:
        connection = propagation.db.connection(source)
        move_sequence(propagation.db.session, connection, table, [row.get(key) for row in rows if key is not None])
    # default functions read the parameters of the statement by the names of the columns
    has_defaults = any(c.default is not None and c.key not in rows[0] for c in table.columns)
    if len(rows) > 1 or not names or has_defaults or any(isinstance(v, ClauseElement) for v in rows[0].values()):
        statement = insert(table).returning(*columns)
        returned = propagation.db.connection(source).execute(statement, rows, execution_options=propagation.db.options)
        return [tuple(row) for row in returned]

    def make() -> Insert:
        given = {name: bindparam(named(f"v{i}"), type_=table.c[name].type) for i, name in enumerate(names)}
        return insert(table).values(given).returning(*columns)

    kept = propagation.db.statements.cached(("insert row", table, names, tuple(columns)), make)
    values = {named(f"v{i}"): rows[0][name] for i, name in enumerate(names)}
    return [tuple(row) for row in propagation.db.execute(source, kept, values)]


def _stored(
    propagation: Propagation,
    source: Source,
    mapper: Mapper[Any],
    columns: Sequence[ColumnElement[Any]],
    rows: Sequence[tuple[Any, ...]],
) -> Iterable[Mapping[str, Any]]:
    """Return the attributes of inserted rows."""
    places = {column: place for place, column in enumerate(columns)}
    if source.same_row:  # computed after the INSERT
        keys = [tuple(row[places[c]] for c in source.key) for row in rows]
        return read_attributes(propagation.db, source, mapper, keys).values()
    stored = propagation.db.statements.stored(mapper)
    return [{name: row[places[column]] for name, column in stored.items()} for row in rows]


def lock_and_read(
    propagation: Propagation,
    source: Source,
    mapper: Mapper[Any],
    keys: Iterable[Key],
    lock: Lock,
    needed: Iterable[Column[Any]],
) -> dict[Key, Row]:
    """Lock rows and return their values: ``needed`` columns, and all attributes if events are wanted."""
    statements, dialect, mutations = propagation.db.statements, propagation.db.dialect, propagation.mutations
    columns = dict.fromkeys(needed)
    if mutations is not None and mutations.wanted(mapper):
        columns |= dict.fromkeys(statements.stored(mapper).values())
    packed = dialect.pack("ids", source.key_shape, list(keys))
    if all(column.table is source.table for column in columns):
        # the latest version of a row of a single table is returned after a wait for its lock
        statement = statements.lock_and_read(source, lock, tuple(columns))
    else:
        if dialect.has_row_locks:
            propagation.db.execute(source, statements.lock_rows(source, lock), packed)
        statement = statements.read_rows(source, tuple(columns), mapper)
    width = len(source.key)
    found = propagation.db.execute(source, statement, packed)
    return {tuple(row[:width]): dict(zip(columns, row[width:], strict=True)) for row in found}


def update_rows(
    propagation: Propagation,
    source: Source,
    mapper: Mapper[Any],
    rows: Mapping[Key, Row],
    locked: Mapping[Key, Row] | None = None,
    *,
    completes: bool = False,
) -> None:
    """Update columns of rows by key; deleted rows are ignored.

    :param locked: the result of :func:`lock_and_read` for these rows, if it was called.
    :param completes: whether the rows have just been inserted and are not told yet.
    """
    by_columns: dict[frozenset[Column[Any]], dict[Key, Row]] = {}
    for key, row in rows.items():
        if row:
            by_columns.setdefault(frozenset(row), {})[key] = row
    for columns, alike in by_columns.items():
        ordered = sorted(columns, key=lambda c: c.name)
        _update_alike(propagation, source, mapper, ordered, alike, locked, completes=completes)


def _update_alike(
    propagation: Propagation,
    source: Source,
    mapper: Mapper[Any],
    columns: Sequence[Column[Any]],
    rows: Mapping[Key, Row],
    locked: Mapping[Key, Row] | None,
    *,
    completes: bool,
) -> None:
    mutations = propagation.mutations
    written = set(columns)
    lock = source.lock_to_change(written)
    touched: dict[Key, Lock | None] = dict.fromkeys(rows, lock if locked is None else None)
    bracket = WriteBracket(propagation, completes=completes)
    heard = mutations is not None and mutations.wanted(mapper) and not completes
    is_known = heard and not propagation.db.statements.plan.is_narrowed(mapper)
    attributes = propagation.db.statements.stored(mapper)
    read = locked if locked is not None and is_known else {}
    known = {k: tuple(read[k][c] for c in attributes.values()) for k in rows if k in read}
    bracket.open(
        Write(
            {source: Touched(touched, written | source.following())},
            named=NamedRows(source, mapper, rows),
            found={source: known} if known else None,
        )
    )
    table = columns[0].table
    assert isinstance(table, Table)
    picked = [(*k, *(row[c] for c in columns)) for k, row in rows.items()]
    stored = dict(store_values(propagation.db, source, table, columns, picked, fires_onupdate=True))
    found = list(stored)
    names = [mapper.get_property_by_column(c).key if c in mapper.columns.values() else None for c in columns]
    for k, values in stored.items():
        fresh = {name: value for name, value in zip(names, values, strict=True) if name is not None}
        propagation.db.memory.refresh_attributes(mapper, k, fresh)
    reacts = mutations is not None and mutations.has_reactions(mapper)
    if heard and not (reacts or source.same_row or any(c.onupdate is not None for c in table.columns)):
        # no reaction depends on these events: the written values suffice
        for k, values in stored.items():
            now = dict(zip(columns, values, strict=True))
            before = bracket.written.remembered(source, mapper, k)
            if before is not None:
                fresh = {name: now[c] for name, c in attributes.items() if c in now}
                bracket.written.foretell(source, mapper, k, {**before, **fresh})
    bracket.close(Changed(source, found))


def start_machines(propagation: Propagation, source: Source, keys: Sequence[Key]) -> None:
    """Assign the initial states that state machines compute for new rows, which others than the engine inserted."""
    for machine in propagation.db.statements.plan.machines:
        if machine.source is source and machine.declaration.initial_state.compute_value is not None and keys:
            mapper = machine.value.mapper
            rows = read_attributes(propagation.db, source, mapper, keys)
            fresh = {key: {machine.value.column: initial_value(machine, row)} for key, row in rows.items()}
            update_rows(propagation, source, mapper, fresh, completes=True)


def delete_rows(propagation: Propagation, source: Source, mapper: Mapper[Any], keys: Iterable[Key]) -> None:
    """Delete rows by key, and handle their dependents."""
    wanted = dict.fromkeys(keys)
    if not wanted:
        return
    touched = {source: Touched(dict.fromkeys(wanted, Lock.UPDATE), None)}
    bracket = WriteBracket(propagation)
    bracket.written.find_dependents({source.table: dict.fromkeys(wanted)}, touched)
    bracket.open(Write(touched, named=NamedRows(source, mapper, wanted)))
    for table in reversed([t for t in mapper.tables if isinstance(t, Table)]):
        key = source.key_in(table)
        statement = propagation.db.statements.cached(
            ("delete rows", table),
            lambda table=table, key=key: delete(table).where(
                propagation.db.dialect.contains(key, "ids", source.key_shape)
            ),  # type: ignore[misc]
        )
        packed = propagation.db.dialect.pack("ids", source.key_shape, list(wanted))
        propagation.db.connection(source).execute(statement, packed, execution_options=propagation.db.options)
    bracket.close()


def _plain_attributes(mapper: Mapper[Any]) -> dict[str, str]:
    """Return the keys of the columns that may be given as attributes of the same class."""
    from ...definitions.computation import computation_of

    found: dict[str, str] = {}
    for prop in mapper.column_attrs:
        computation = computation_of(prop.columns[0])
        if computation is None or computation.may_be_given:
            found[prop.key] = str(prop.columns[0].key)
    return found


def _values_of(mapper: Mapper[Any], row: Values, plain: Mapping[str, str]) -> dict[str, Any]:
    """Return :func:`column_values`, at once if all attributes are ``plain``."""
    if row.keys() <= plain.keys():
        return {plain[name]: value for name, value in row.items()}
    return column_values(mapper, row)


def column_values(mapper: Mapper[Any], row: Values) -> dict[str, Any]:
    """Return attributes of ``mapper`` as values by column key.

    :raises ComputationError: if an attribute is unknown, computed, or a to-many relationship.
    """
    from ...definitions.computation import computation_of

    record = mapper.class_.__name__
    values: dict[str, Any] = {}
    for name, value in row.items():
        if name in mapper.column_attrs:
            column = mapper.column_attrs[name].columns[0]
            computation = computation_of(column) if isinstance(column, Column) else None
            if computation is not None and not (computation.may_be_given or computation.takes(value)):
                raise ComputationError(f"{record}.{name} is computed and cannot be given", record=record, property=name)
            values[str(column.key)] = value
        elif name in mapper.relationships:
            relationship = mapper.relationships[name]
            if relationship.direction is not RelationshipDirection.MANYTOONE:
                raise ComputationError(
                    f"{record}.{name} is a relationship to many; derive its members as rows of their own",
                    record=record,
                    property=name,
                )
            for local, remote in relationship.local_remote_pairs:
                attribute = relationship.mapper.get_property_by_column(remote).key
                values[str(local.key)] = None if value is None else _key_of(value, attribute, record, name)
        else:
            known = ", ".join(sorted(mapper.attrs.keys()))
            raise ComputationError(
                f"{record} has no attribute {name!r}; it has {known}", record=record, property=str(name)
            )
    return values


def _key_of(value: Any, attribute: str, record: str, name: str) -> Any:
    if isinstance(value, Mapping):
        if attribute not in value:
            raise ComputationError(f"{record}.{name}: give the neighbour as {{{attribute!r}: …}}, not {value!r}")
        return value[attribute]
    return getattr(value, attribute, value)
