"""The counters of scoped sequences: their table, and the text that identifies a scope in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, MetaData, String, Table, bindparam, case, select, true

from ..dialects import DatabaseDialect
from ..dialects.base import RowShape, named, one_row
from .metadata_state import SYSTEM_KEY

COUNTERS = "interaqt_scoped_counters"
#: the longest text of a scope: longer ones would not fit into the index of every database
_LONGEST = 500
_ROWS = "counters"
_SHAPE: RowShape = (("scope", String()), ("by", BigInteger()))


def add_scoped_counters(metadata: MetaData) -> Table:
    """Return the table of the counters, after adding it to ``metadata`` if it is not there."""
    schema = f"{metadata.schema}." if metadata.schema else ""
    found = metadata.tables.get(f"{schema}{COUNTERS}")
    if found is not None:
        return found
    return Table(
        COUNTERS,
        metadata,
        Column("sequence", String, primary_key=True),
        Column("scope", String, primary_key=True),
        Column("last", BigInteger, nullable=False),
        info={SYSTEM_KEY: True},
    )


def scope_text(values: Iterable[Any]) -> str:
    """Return the text that identifies a scope, a JSON list of its values.

    :param values: as a read of their columns returns them.
    :raises TypeError: if a value has no such text.
    """
    text = json.dumps([_plain(value) for value in values], ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) <= _LONGEST:
        return text
    return f"{text[:80]}#{hashlib.sha256(text.encode()).hexdigest()}"


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.name
        case bool() | int() | str():
            return value
        case Decimal():
            return format(value.normalize(), "f")
        case float():
            return int(value) if value.is_integer() else value
        case UUID():
            return str(value)
        case date():
            return value.isoformat()
        case _:
            raise TypeError(f"{value!r} cannot identify a scope; it takes numbers, texts, booleans, dates and UUIDs")


def advance_counters(dialect: DatabaseDialect, table: Table, *, one: bool = False) -> Any:
    """Return the statement that adds to counters, in the order of their scopes, and creates those that are missing.

    It returns scope and last number of each. Its parameters are those of :func:`counter_parameters`.

    :param one: whether there is one scope, so that the parameters are not packed.
    """
    return _written(dialect, table, one=one, advances=True)


def raise_counters(dialect: DatabaseDialect, table: Table) -> Any:
    """Return the statement that sets counters to given numbers, unless they are greater already."""
    return _written(dialect, table, one=False, advances=False)


def _written(dialect: DatabaseDialect, table: Table, *, one: bool, advances: bool) -> Any:
    rows = one_row(_ROWS, _SHAPE) if one else dialect.row_set(_ROWS, _SHAPE)
    sequence, start = bindparam(named("sequence"), type_=String()), bindparam(named("start"), type_=BigInteger())
    # without a condition SQLite would read ON CONFLICT as the condition of a join
    given = select(sequence, rows.c.scope, start + rows.c.by).where(true()).order_by(rows.c.scope)
    insert = dialect.insert(table).from_select(["sequence", "scope", "last"], given)
    last, new = table.c.last, insert.excluded.last
    written = last + (new - start) if advances else case((new > last, new), else_=last)
    return insert.on_conflict_do_update(
        index_elements=[table.c.sequence, table.c.scope], set_={"last": written}
    ).returning(table.c.scope, table.c.last)


def counter_parameters(
    dialect: DatabaseDialect, sequence: str, start: int, by: Mapping[str, int], *, one: bool = False
) -> dict[str, Any]:
    """Return the parameters of :func:`advance_counters` and :func:`raise_counters`.

    :param start: the number before the first one of the sequence.
    :param by: the difference to the last number, or to ``start``, by scope.
    """
    packed = dialect.pack_some(_ROWS, _SHAPE, sorted(by.items()), one=one)
    return {**packed, named("sequence"): sequence, named("start"): start}
