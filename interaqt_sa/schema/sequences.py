"""Id columns: a sequence for each table, or the row id on databases without sequences."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Sequence

from ..dialects.column_types import id_type
from ..dialects.functions import NextId
from .naming import fit_identifier


def id_column(table_name: str, metadata: MetaData, schema: Any = None) -> Column[int]:
    """Return the primary key column of a table, with a sequence on ``metadata``.

    The sequence is also the client-side default, because only then SQLAlchemy runs bulk inserts with RETURNING as one
    statement in a known order.

    :param schema: the schema of the table, if it differs from that of ``metadata``.
    """
    name = fit_identifier(f"{table_name}_id_seq")
    sequence = Sequence(name, schema=schema, metadata=metadata, data_type=BigInteger())
    return Column("id", id_type(), sequence, primary_key=True, autoincrement=True, server_default=NextId(sequence))
