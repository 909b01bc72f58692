"""Results of DML statements without the RETURNING columns that the engine has added."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Result
from sqlalchemy.engine.result import FrozenResult, IteratorResult, SimpleResultMetaData, result_tuple
from sqlalchemy.sql.dml import Insert

Row = tuple[Any, ...]
#: RETURNING columns that the engine has added to a statement, and their rows
Returned = tuple[Sequence[Column[Any]], Sequence[Row]]


def split_result(result: Result[Any], statement: Any, columns: Sequence[Any]) -> tuple[WriteResult, list[Row]]:
    """Split the result of ``statement``, to whose RETURNING ``columns`` were added.

    :return: the result for the application, and the rows of ``columns``.
    """
    if not statement._returning:
        # in partitions: with many rows at once the garbage collector would traverse all objects
        rows = [tuple(row) for part in result.partitions(1000) for row in part]
        return WriteResult.without_rows(result, statement, len(rows), columns, rows), rows
    frozen = result.freeze()
    mine = len(frozen.metadata.keys) - len(columns)
    rows = [tuple(row)[mine:] for row in frozen()]
    return WriteResult.of([frozen], result, statement, len(rows), width=mine), rows


def ask_back(statement: Any, columns: Sequence[Any], *, is_many: bool) -> Any:
    """Return an INSERT that returns ``columns`` in addition to its own RETURNING.

    :param is_many: whether the ORM runs it row by row, which does not need ``return_defaults()``.
    """
    if not statement._return_defaults:
        return statement.returning(*columns)
    if not is_many:
        return statement.return_defaults(*statement._return_defaults_columns, supplemental_cols=columns)
    plain = statement._generate()
    plain._return_defaults, plain._return_defaults_columns = False, None
    return plain.returning(*columns)


def split_defaults(
    result: Result[Any], statement: Any, columns: Sequence[Any], given: Sequence[str]
) -> tuple[WriteResult, list[Row]]:
    """Split the result of a statement with ``return_defaults()``, as :func:`split_result` does.

    :param given: the names of the columns in its parameters.
    """
    found = result.all()
    names = list(result.keys())
    compiled: Any = statement.compile(dialect=result.context.dialect, column_keys=list(given) or None)  # type: ignore[attr-defined]
    wanted = [names.index(str(column.name)) for column in compiled.effective_returning]
    shape = result_tuple([names[i] for i in wanted])
    places = [names.index(str(column.name)) for column in columns]
    rows = [tuple(row[i] for i in places) for row in found]
    defaults = [shape([row[i] for i in wanted]) for row in found]
    answer = WriteResult.without_rows(
        result,
        statement,
        len(rows),
        columns,
        rows,
        answer=IteratorResult(
            SimpleResultMetaData([names[i] for i in wanted]),
            iter([tuple(row) for row in defaults] if statement._supplemental_returning else ()),
        )
        if wanted
        else None,
    )
    answer.returned_defaults_rows = defaults if wanted else None
    return answer, rows


def buffered(result: Result[Any], statement: Any) -> WriteResult:
    """Return the result of a statement that returns rows, with all rows fetched."""
    frozen = result.freeze()
    return WriteResult.of([frozen], result, statement, getattr(result, "rowcount", -1))


class WriteResult(IteratorResult[Any]):
    """The result of a write, with the attributes of a cursor result.

    :ivar has_cursor: whether the attributes are available: the ORM does not provide them for lists of rows that it
        inserts.
    :ivar returned_defaults_rows: the rows returned by an INSERT with ``return_defaults()``.
    """

    def __init__(self, answer: IteratorResult[Any], original: Result[Any] | None, statement: Any, written: int) -> None:
        super().__init__(answer._metadata, answer.iterator, _source_supports_scalars=answer._source_supports_scalars)
        self._original = original
        self._written = written
        self.has_cursor = True
        self.is_insert = isinstance(statement, Insert)
        self.returns_rows = bool(statement._returning)
        self._returned: Returned = ((), ())
        self.returned_defaults_rows: list[Any] | None = None

    @classmethod
    def of(
        cls,
        parts: Sequence[FrozenResult[Any]],
        original: Result[Any] | None,
        statement: Any,
        written: int,
        *,
        width: int | None = None,
    ) -> WriteResult:
        """Return the result of a statement that returns rows.

        :param parts: the results of its executions.
        :param width: the number of columns that the application has requested.
        """
        whole = parts[0] if len(parts) == 1 else parts[0].with_new_rows([row for part in parts for row in part()])
        answer: Any = whole()
        return cls(answer if width is None else answer.columns(*range(width)), original, statement, written)

    @classmethod
    def without_rows(
        cls,
        original: Result[Any] | None,
        statement: Any,
        written: int,
        columns: Sequence[Column[Any]] = (),
        rows: Sequence[Row] = (),
        *,
        answer: IteratorResult[Any] | None = None,
    ) -> WriteResult:
        """Return the result of a statement that was not requested to return rows.

        :param columns: the RETURNING columns that the engine has added.
        :param answer: rows that it returns nevertheless.
        """
        found = cls(answer or IteratorResult(SimpleResultMetaData([]), iter(())), original, statement, written)
        found._returned = (columns, rows)
        found.returns_rows = answer is not None
        if answer is None:
            found.close()
        return found

    def with_rows(self, rows: FrozenResult[Any], statement: Any) -> WriteResult:
        """Return this result with other rows."""
        found = WriteResult.of([rows], self._original, statement, self._written)
        found.has_cursor, found._returned = self.has_cursor, self._returned
        found.returned_defaults_rows = self.returned_defaults_rows
        return found

    @cached_property
    def inserted_primary_key_rows(self) -> list[Any]:
        """The primary keys of the rows inserted by an INSERT without RETURNING."""
        columns, rows = self._returned  # computed on access: rarely used, and there may be many
        places = {str(column.key): i for i, column in enumerate(columns) if column.primary_key}
        key = result_tuple(list(places))
        return [key([row[i] for i in places.values()]) for row in rows]

    @property
    def rowcount(self) -> int:
        """The number of written rows."""
        if not self.has_cursor:
            raise AttributeError(name="rowcount", obj=self)
        return self._written

    @property
    def inserted_primary_key(self) -> Any:
        """The primary key of the inserted row, if it was a single row."""
        return self.inserted_primary_key_rows[0] if len(self.inserted_primary_key_rows) == 1 else None

    @property
    def returned_defaults(self) -> Any:
        """The row returned by a statement with ``return_defaults()``, if it was a single row."""
        rows = self.returned_defaults_rows
        return rows[0] if rows is not None and len(rows) == 1 else None

    def supports_sane_rowcount(self) -> bool:
        """Whether ``rowcount`` is reliable."""
        return True

    def supports_sane_multi_rowcount(self) -> bool:
        """Whether ``rowcount`` is reliable for several parameter sets."""
        return True

    def __getattr__(self, name: str) -> Any:
        if name == "rowcount":  # the property has raised AttributeError
            raise AttributeError("'IteratorResult' object has no attribute 'rowcount'")
        # lastrowid, context, prefetch_cols, …: attributes of the cursor result, if SQLAlchemy's own result has one
        if not name.startswith("_") and hasattr(self._original, name):
            return getattr(self._original, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
