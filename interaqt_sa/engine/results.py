"""Results of statements to whose RETURNING the engine has added columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Result
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData


def split_result(
    result: Result[Any], statement: Any, columns: Sequence[Column[Any]]
) -> tuple[Result[Any], list[tuple[Any, ...]]]:
    """Split what ``statement``, with ``columns`` added to its RETURNING, has returned.

    :return: the result as the user asked for it, and the rows of ``columns``.
    """
    names = list(result.keys())
    mine = len(names) - len(columns)
    rows = [tuple(row) for row in result.all()]
    added = [row[mine:] for row in rows] if mine else rows
    if not statement._returning:
        return WriteResult(columns, added), added
    return IteratorResult(SimpleResultMetaData(names[:mine]), iter([row[:mine] for row in rows])), added


class WriteResult(IteratorResult[Any]):
    """The result of an INSERT that was not asked to return rows.

    :ivar rowcount: how many rows were written.
    :ivar inserted_primary_key_rows: their primary keys.
    """

    def __init__(self, columns: Sequence[Column[Any]], rows: Sequence[tuple[Any, ...]]) -> None:
        super().__init__(SimpleResultMetaData([]), iter(()))
        keys = [i for i, column in enumerate(columns) if column.primary_key]
        self.rowcount = len(rows)
        self.is_insert = True
        self.returns_rows = False
        self.inserted_primary_key_rows = [tuple(row[i] for i in keys) for row in rows]
        self.close()

    @property
    def inserted_primary_key(self) -> tuple[Any, ...] | None:
        """The primary key of the row, if it was one."""
        return self.inserted_primary_key_rows[0] if len(self.inserted_primary_key_rows) == 1 else None
