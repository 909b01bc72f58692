"""Lock whole tables at the beginning of a transaction, before its snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import Session

from ..dialects import dialect_for
from ..engine.engine import plan_of
from ..session.state import SessionState


def lock_whole_tables(
    session: Session, metadata: MetaData, tables: Iterable[Table], bind_arguments: Mapping[str, Any]
) -> None:
    """Lock tables against other writers, in the lock order, so that searches in a snapshot find all their rows.

    :param session: a session whose transaction has not run a statement yet.
    """
    places = plan_of(metadata).places
    ordered = sorted(tables, key=lambda table: (places.get(table, len(places)), table.fullname))
    connection = session.connection(bind_arguments=dict(bind_arguments))
    quote = connection.dialect.identifier_preparer
    names: list[str] = []
    for table in ordered:
        schema = connection.schema_for_object(table)
        name = quote.quote(table.name)
        names.append(f"{quote.quote_schema(schema)}.{name}" if schema else name)
    statement = dialect_for(connection.dialect).lock_tables(names) if names else None
    if statement is not None:
        connection.exec_driver_sql(statement)
        SessionState.of(session).locked_tables = frozenset(ordered)
