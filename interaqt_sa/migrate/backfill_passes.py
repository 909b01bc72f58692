"""The passes of a back-fill over the rows of tables, in an order in which their inputs are filled first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Column, Connection, Table, insert, select

from ..definitions.computation import info_of
from ..dialects import dialect_for
from ..dialects.execution_options import ENGINE_OPTIONS
from ..engine.engine import Statements, backfill_derivation, backfill_values
from ..schema.compile.dictionaries import DICTIONARY_KEY, ROW_ID
from .declared import Declared, missing_columns
from .default_backfill import DEFAULT, fill_column, fill_default
from .derived_row_origins import warn_of_rows_without_origin
from .key_codec import Key
from .value_dependencies import Pass, passes, reads_any

Step = Callable[[Connection, Key | None, int], Key | None]


@dataclass(frozen=True)
class Work:
    """One pass over the rows of a table.

    :ivar fingerprints: fingerprints of the filled values, by the place under which they are recorded.
    :ivar step: fills the next rows after a key and returns the last key, ``None`` if no rows were left.
    :ivar names: the names of the filled values, for messages.
    :ivar columns: the columns of ``table`` that it fills.
    """

    fingerprints: Mapping[str, str]
    table: Table
    step: Step
    names: Collection[str] = ()
    columns: Collection[Column[Any]] = ()

    @property
    def title(self) -> str:
        """The names of the filled values, for messages."""
        return ", ".join(self.names or self.fingerprints)


def works(declared: Declared, names: Mapping[str, str], connection: Connection) -> list[Work]:
    """Return the passes that fill ``names`` and the values that are computed from them.

    :param names: with the fingerprints in the revision; the current declarations are used.
    """
    return [
        *default_works(declared, names),
        *_values(declared, names.keys() | declared.read_defaults(names), connection),
    ]


def is_at_hand(connection: Connection, declared: Declared, name: str, fingerprint: str) -> bool:
    """Whether a default can be written although the models have columns that only a later revision adds."""
    column = declared.default(name) if fingerprint == DEFAULT else None
    if column is None:
        return False
    missing = set(missing_columns(connection, [column.table]))
    needed = [column, *column.table.primary_key.columns, *(c for c in column.table.columns if c.onupdate is not None)]
    return missing.isdisjoint(f"{column.table.fullname}.{one.name}" for one in needed)


def default_works(declared: Declared, names: Mapping[str, str]) -> Iterator[Work]:
    """Yield the passes that write the defaults of properties into rows without a value."""
    for name, fingerprint in names.items():
        column = declared.default(name) if fingerprint == DEFAULT else None
        if column is not None:
            yield Work({declared.place_of(name): DEFAULT}, column.table, partial(fill_default, column), [name])


def _values(declared: Declared, names: Collection[str], connection: Connection) -> Iterator[Work]:
    plan, fingerprints, places = declared.plan, declared.fingerprints, declared.places
    statements = Statements(plan, dialect_for(connection.dialect))
    values = [name for name in names if name in declared.values]
    found = passes(plan, values)
    for group in found:
        filling = [value.name for value in group.values]
        recorded = {places[name]: fingerprints[name] for name in filling}
        columns = [column for value in group.values for column in (value.column, *value.running)]
        yield Work(recorded, group.table, _step(statements, group), filling, columns)
    # rows are derived after the values that they depend on
    filled = [value for group in found for value in group.values]
    for name, derivation in declared.derivations.items():
        if name in names or reads_any(derivation, filled):
            table = declared.table_of(name)
            warn_of_rows_without_origin(connection, derivation)
            step = partial(backfill_derivation, derivation)
            yield Work({places[name]: fingerprints[name]}, table, step, [name])


def _step(statements: Statements, group: Pass) -> Step:
    initial = initial_values(group)

    def step(connection: Connection, after: Key | None, limit: int) -> Key | None:
        last = backfill_values(statements, group.values, connection, after, limit, follow=group.follow)
        if last is not None:
            for column, value in initial.items():
                fill_column(connection, column, value, after, last)
        return last

    return step


def initial_values(group: Pass) -> dict[Column[Any], Any]:
    """Return the initial values for existing rows of columns that are not computed from stored data, such as states."""
    return {
        value.column: value.computation.initial_value(value.column)
        for value in group.values
        if not value.can_be_recomputed
        and value.computation.starts_constant
        and not value.computation.hidden_columns(value.column)
    }


def is_dictionary(table: Table) -> bool:
    """Whether ``table`` belongs to a dictionary, whose single row exists from the beginning."""
    return DICTIONARY_KEY in info_of(table)


def ensure_dictionary_row(connection: Connection, table: Table) -> None:
    """Insert the row of a dictionary; ``create_all`` does it in an event that migrations do not trigger."""
    if is_dictionary(table) and connection.scalar(select(table.c.id)) is None:
        connection.execute(insert(table).values(id=ROW_ID), execution_options=ENGINE_OPTIONS)
