"""Ids that are given by the caller, where otherwise a sequence gives them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Sequence, Table, text
from sqlalchemy.orm import Mapper, Session

from ..session.state import SessionState

# nextval only ever goes forward, whatever others do at the same time, but one by one. setval would take back what
# others fetch between its reading and its writing, so it may only be used where they cannot fetch as many.
_MOVE = """
    SELECT CASE WHEN :id - last_value > 100000 THEN setval(CAST(:name AS regclass), :id)
           ELSE (SELECT max(nextval(CAST(:name AS regclass)))
                 FROM generate_series(1, :id - last_value + CASE WHEN is_called THEN 0 ELSE 1 END)) END
    FROM {name} WHERE last_value < :id OR (last_value = :id AND NOT is_called)
"""


def move_sequence_past(session: Session, mapper: Mapper[Any], given: Any) -> None:
    """Make sure that the sequence of a record's table never gives the id ``given``.

    Like every use of a sequence this outlives a rollback; at worst ids are left out.
    """
    if isinstance(given, int):
        move_past(session, session.connection(bind_arguments={"mapper": mapper}), mapper.local_table, given)


def move_past(session: Session, connection: Connection, table: Any, given: int) -> None:
    """Make sure that the sequence of ``table`` never gives the id ``given``; see :func:`move_sequence_past`."""
    if not isinstance(table, Table):
        return
    sequence = next((c.default for c in table.primary_key if isinstance(c.default, Sequence)), None)
    if sequence is None or connection.dialect.name != "postgresql":
        return
    name = connection.dialect.identifier_preparer.format_sequence(sequence)
    moved = SessionState.of(session).transaction.moved_sequences
    if given > moved.get(name, -1):
        connection.execute(text(_MOVE.format(name=name)), {"id": given, "name": name})
        moved[name] = given
