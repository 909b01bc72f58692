"""Ids: one native sequence per table where the database has sequences, the row id where it has none."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import BigInteger, Column, MetaData, Sequence
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from .naming import fit_identifier
from .types import id_type


class NextId(FunctionElement[int]):
    """The next value of a sequence as a column default; ``NULL`` where the database has no sequences."""

    type = BigInteger()
    inherit_cache = False

    def __init__(self, sequence: Sequence) -> None:
        super().__init__()
        self.sequence = sequence


@compiles(NextId)
def _next_id(element: NextId, compiler: SQLCompiler, **kw: Any) -> str:
    # Sequence.next_value() would make CREATE TABLE impossible where there are none
    if not compiler.dialect.supports_sequences:
        return "(NULL)"
    return str(cast("Any", compiler).visit_sequence(element.sequence, **kw))


def id_column(table_name: str, metadata: MetaData, schema: Any = None) -> Column[int]:
    """Return the primary key of a table, with a sequence on ``metadata``.

    :param schema: that of the table, if it is not the one of ``metadata``.

    The sequence is also the default on the client side, because only so are bulk inserts with RETURNING known to keep
    their order, and made in one statement.
    """
    name = fit_identifier(f"{table_name}_id_seq")
    sequence = Sequence(name, schema=schema, metadata=metadata, data_type=BigInteger())
    return Column("id", id_type(), sequence, primary_key=True, autoincrement=True, server_default=NextId(sequence))
