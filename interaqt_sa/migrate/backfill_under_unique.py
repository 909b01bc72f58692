"""Back-fills of values under unique constraints, which databases check row by row.

If values change places, a row gets a value that another row has until it is computed too. A deferrable constraint would
accept that; others are satisfied only if the rows that are still to be computed hold no value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, inspect, null, select, tuple_, update

from ..dialects.database_errors import normalize_database_error
from ..dialects.execution_options import ENGINE_OPTIONS
from ..errors import ConstraintSetupError
from .key_codec import Key


class Conflict(NamedTuple):
    """A unique constraint that does not let a back-fill store a value.

    :ivar name: its name, if it has one.
    :ivar covered: all its columns.
    :ivar filled: those that the back-fill computes.
    :ivar nulls_are_equal: whether two rows with NULL violate it.
    """

    name: str | None
    covered: tuple[str, ...]
    filled: tuple[Column[Any], ...]
    nulls_are_equal: bool = False


def conflict_of(connection: Connection, error: Exception, columns: Collection[Column[Any]]) -> Conflict | None:
    """Return the unique constraint that ``error`` reports, if it covers one of ``columns``, which are of one table."""
    found = normalize_database_error(error)
    if found is None or found.kind != "unique" or not columns:
        return None
    table: Any = next(iter(columns)).table
    for name, covered, nulls_are_equal in _unique_keys(connection, table):
        filled = [column for column in columns if column.name in covered]
        is_reported = found.table == table.name and set(covered) == set(found.columns)
        if filled and (is_reported or (name is not None and name == found.constraint)):
            return Conflict(name, tuple(covered), tuple(filled), nulls_are_equal)
    return None


def can_be_cleared(connection: Connection, conflict: Conflict) -> bool:
    """Whether the columns that the back-fill computes may be NULL in any number of rows."""
    table: Any = conflict.filled[0].table
    found = inspect(connection).get_columns(table.name, schema=table.schema)
    nullable = {column["name"] for column in found if column["nullable"]}
    return not conflict.nulls_are_equal and nullable.issuperset(column.name for column in conflict.filled)


def clear_all(
    run: Callable[[Callable[[Connection], Key | None]], Key | None], conflict: Conflict, after: Key | None, limit: int
) -> None:
    """Set the values of all rows after a key to NULL, batch by batch.

    :param run: runs a function in a transaction of its own.
    :param limit: the maximum number of rows of a batch.
    """
    reached = run(partial(_clear, conflict, after, limit))
    while reached is not None:
        reached = run(partial(_clear, conflict, reached, limit))


def _clear(conflict: Conflict, after: Key | None, limit: int, connection: Connection) -> Key | None:
    """Set the values of the next rows to NULL; return the last key, ``None`` if no rows were left."""
    table: Any = conflict.filled[0].table
    key = tuple(table.primary_key.columns)
    rows = select(*key).order_by(*key).limit(limit).with_for_update()
    if after is not None:
        rows = rows.where(tuple_(*key) > tuple_(*after))
    found = [tuple(row) for row in connection.execute(rows)]
    if not found:
        return None
    statement = update(table).where(tuple_(*key) >= tuple_(*found[0]), tuple_(*key) <= tuple_(*found[-1]))
    # assigning a column to itself suppresses its onupdate
    kept = {column: column for column in table.columns if column.onupdate is not None}
    values: dict[Any, Any] = {**kept, **{column: null() for column in conflict.filled}}
    connection.execute(statement.values(values), execution_options=ENGINE_OPTIONS)
    return found[-1]


def refusal(title: str, conflict: Conflict, error: Exception, *, is_cleared: bool) -> ConstraintSetupError:
    """Return the error for values that cannot be stored.

    :param is_cleared: whether no other row holds an old value, so that two new values are equal.
    """
    table: Any = conflict.filled[0].table
    name = conflict.name or "the unique constraint"
    place = f"{name} of {table.fullname} ({', '.join(conflict.covered)})"
    reported = str(getattr(error, "orig", None) or error).strip()
    if is_cleared:
        said = f"two rows have the same value, which {place} does not allow. Resolve them and upgrade again"
    else:
        listed = ", ".join(repr(column) for column in conflict.covered)
        said = (
            f"{place} does not allow a value that another row has until it is computed too, and the value cannot "
            "be NULL until then; or two rows have the same new value. Let the revision of the back-fill drop the "
            "constraint first and create it again at the end, after "
            f"op.interaqt_check_unique({conflict.name!r}, {table.name!r}, [{listed}]), which reports equal values"
        )
    return ConstraintSetupError(
        f"{title} is not filled: {said}. The database reports: {reported}",
        constraint=conflict.name,
        table=table.name,
        properties=tuple(conflict.covered),
    )


def _unique_keys(connection: Connection, table: Table) -> Iterator[tuple[str | None, Sequence[str], bool]]:
    """Yield name and columns of each unique constraint and index, and whether NULLs are equal to each other."""
    inspector = inspect(connection)
    constraints: list[Any] = inspector.get_unique_constraints(table.name, schema=table.schema)
    indexes: list[Any] = inspector.get_indexes(table.name, schema=table.schema)
    for found in (*constraints, *(index for index in indexes if index["unique"])):
        options: dict[str, Any] = found.get("dialect_options") or {}
        columns = [name for name in found["column_names"] if name is not None]
        yield found["name"], columns, bool(options.get("postgresql_nulls_not_distinct"))
