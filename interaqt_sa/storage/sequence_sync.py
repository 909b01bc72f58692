"""Explicit ids for columns whose ids otherwise come from a sequence."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Sequence, Table
from sqlalchemy.orm import Mapper, Session

from ..dialects import dialect_class
from ..session.state import SessionState


def move_sequence_past(session: Session, mapper: Mapper[Any], given: Any) -> None:
    """Ensure that the sequence of a record's table never generates the id ``given``.

    As with every use of a sequence this is not undone by a rollback; at worst ids are skipped.
    """
    if isinstance(given, int):
        move_past(session, session.connection(bind_arguments={"mapper": mapper}), mapper.local_table, given)


def move_past(session: Session, connection: Connection, table: Any, given: int) -> None:
    """Ensure that the sequence of ``table`` never generates the id ``given``; see :func:`move_sequence_past`."""
    if not isinstance(table, Table):
        return
    sequence = next((c.default for c in table.primary_key if isinstance(c.default, Sequence)), None)
    if sequence is None:
        return
    name = connection.dialect.identifier_preparer.format_sequence(sequence)
    moved = SessionState.of(session).transaction.moved_sequences
    if given > moved.get(name, -1):
        dialect_class(connection.dialect).move_sequence(connection, sequence, given)
        moved[name] = given
