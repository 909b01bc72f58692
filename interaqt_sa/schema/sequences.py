"""Ids: one native sequence per table where the database has sequences, the row id where it has none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Sequence

from ..dialects.column_types import id_type
from ..dialects.functions import NextId
from .naming import fit_identifier


def id_column(table_name: str, metadata: MetaData, schema: Any = None) -> Column[int]:
    """Return the primary key of a table, with a sequence on ``metadata``.

    :param schema: that of the table, if it is not the one of ``metadata``.

    The sequence is also the default on the client side, because only so are bulk inserts with RETURNING known to keep
    their order, and made in one statement.
    """
    name = fit_identifier(f"{table_name}_id_seq")
    sequence = Sequence(name, schema=schema, metadata=metadata, data_type=BigInteger())
    return Column("id", id_type(), sequence, primary_key=True, autoincrement=True, server_default=NextId(sequence))
