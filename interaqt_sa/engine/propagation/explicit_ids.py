"""Ids that a write assigns explicitly, and the sequences that have to be advanced past them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, Table, func, select
from sqlalchemy.orm import Session

from ...storage.sequence_sync import move_past
from ..plan import Plan


def note_given_ids(
    session: Session, connection: Connection, plan: Plan, element: Any, parameters: Sequence[Mapping[str, Any]]
) -> None:
    """Advance the sequence of a table past the ids that an INSERT assigns."""
    table = getattr(element, "table", None)
    if not isinstance(table, Table) or table.metadata is not plan.metadata or table.key not in plan.sequences:
        return
    name = plan.sequences[table.key]
    given: list[Any] = []
    # all rows of a statement have the same columns
    if name in parameters[0]:
        given += [row[name] for row in parameters]
    given += [value for key, value in (element._values or {}).items() if getattr(key, "key", key) == name]
    for rows in element._multi_values:
        given += [value for row in rows for key, value in _pairs(table, row) if getattr(key, "key", key) == name]
    names = [getattr(key, "key", key) for key in element._select_names or ()]
    if name in names:
        chosen: Any = element.select.subquery()
        highest: Select[Any] = select(func.max(chosen.c[names.index(name)]))
        given.append(connection.scalar(highest, parameters[0]))
    move_sequence(session, connection, table, given)


def _pairs(table: Any, row: Any) -> Iterable[tuple[Any, Any]]:
    return row.items() if isinstance(row, Mapping) else zip(table.columns, row, strict=False)


def move_sequence(session: Session, connection: Connection, table: Table, given: Iterable[Any]) -> None:
    """Advance the sequence of ``table`` past the highest of ``given``; values that are not integers are ignored."""
    values = (value.value if isinstance(value, BindParameter) else value for value in given)
    numbers = [value for value in values if isinstance(value, int)]
    if numbers:
        move_past(session, connection, table, max(numbers))
